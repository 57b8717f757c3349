"""Numbers as people read them."""

from __future__ import annotations


def percent(share: float, digits: int = 6) -> str:
    """A share of 1 as a percentage with so many significant digits."""
    return f"{share * 100:.{digits}g} %"
