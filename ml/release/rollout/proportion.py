"""Bounds of a proportion that hold at every look, however often one looks.

Pure. A confidence interval for one look is wrong more often the more looks are taken. These bounds come from
Robbins' mixture: if ``p`` is the true proportion, the likelihood of the data mixed over a Beta(1/2, 1/2)
prior, divided by their likelihood under ``p``, is a martingale that starts at 1. By Ville's inequality it
ever reaches ``1 / error`` with a probability of at most ``error``, so the proportions under which it has not
contain the true one at all times at once. Trials are taken to be independent.

H. Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical
Statistics 41 (1970); S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, "Time-uniform, nonparametric,
nonasymptotic confidence sequences", Annals of Statistics 49 (2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

PRIOR = 0.5
HALVINGS = 40


@dataclass(frozen=True)
class Proportion:
    """Some of all trials.

    Attributes:
        count: how many.
        total: of how many.
    """

    count: int
    total: int

    @property
    def estimate(self) -> float:
        """The share; NaN of no trials."""
        return self.count / self.total if self.total else math.nan

    def lower(self, error: float) -> float:
        """Below it the true proportion never lies, but with a probability of ``error`` for both bounds."""
        if not self.count:
            return 0.0
        return _boundary(self._evidence_against, 0.0, self.estimate, math.log(1 / error))

    def upper(self, error: float) -> float:
        """Above it the true proportion never lies, but with a probability of ``error`` for both bounds."""
        if self.count == self.total:
            return 1.0
        return _boundary(self._evidence_against, 1.0, self.estimate, math.log(1 / error))

    def _evidence_against(self, proportion: float) -> float:
        """The logarithm of the martingale if this were the true proportion."""
        others = self.total - self.count
        mixed = _log_beta(self.count + PRIOR, others + PRIOR) - _log_beta(PRIOR, PRIOR)
        return mixed - _times_log(self.count, proportion) - _times_log(others, 1 - proportion)


def _boundary(evidence: Callable[[float], float], outside: float, inside: float, limit: float) -> float:
    """Where the evidence, growing from ``inside`` to ``outside``, reaches the limit; on the outer side."""
    for _ in range(HALVINGS):
        middle = (outside + inside) / 2
        if evidence(middle) >= limit:
            outside = middle
        else:
            inside = middle
    return outside


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _times_log(count: int, proportion: float) -> float:
    """``count`` · log ``proportion``, where nothing of an impossible kind is no surprise."""
    if count == 0:
        return 0.0
    return count * math.log(proportion) if proportion > 0 else -math.inf
