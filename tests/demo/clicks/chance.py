"""Drawing lots, by the hundred thousand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.demo.clicks.world import Floats, Ints


def pick(shares: Floats, chance: Floats) -> Ints:
    """The index that each chance in [0, 1) falls on; ``shares`` is (choices,) or (rows, choices)."""
    bounds = np.cumsum(shares, axis=-1)[..., :-1]
    choice: Ints = (chance[:, None] >= bounds).sum(axis=1)
    return choice


def uniform(number: Ints, purpose: int) -> Floats:
    """A chance in [0, 1) that depends on the number and the purpose alone."""
    mixed = scramble(number.astype(np.uint64) + np.uint64(purpose))
    return (mixed >> np.uint64(11)) * 2.0**-53


def scramble(number: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood 2014): neighbouring numbers come out unrelated."""
    mixed = number * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
