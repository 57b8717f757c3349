"""The processes of this machine. Any of them may end while /proc is read: then nothing is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PROCESSES = Path("/proc")


def processes_of(words: str) -> Iterator[int]:
    """The running processes whose command line holds these words."""
    for folder in PROCESSES.glob("[0-9]*"):
        if words in command_of(process := int(folder.name)):
            yield process


def command_of(process: int) -> str:
    """Its command line."""
    return _read(PROCESSES / str(process) / "cmdline").replace("\0", " ")


def children_of(parent: int) -> list[int]:
    """The processes that any of its threads has started."""
    try:
        threads = list((PROCESSES / str(parent) / "task").iterdir())
    except OSError:
        return []
    return [int(child) for thread in threads for child in _read(thread / "children").split()]


def descendants_of(parent: int) -> Iterator[int]:
    """Its children and theirs."""
    for child in children_of(parent):
        yield child
        yield from descendants_of(child)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
