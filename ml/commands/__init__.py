"""The commands of ``python -m ml``, a module for each group; each adds its own to the parser."""
