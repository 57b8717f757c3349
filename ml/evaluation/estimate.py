"""Numbers estimated from rows, with what each row contributes to their error.

Every metric here is, up to terms that vanish with the number of rows, a mean over rows. What a row adds to
that mean is its influence (F. R. Hampel, "The influence curve and its role in robust estimation", JASA 69,
1974). The variance is then a sum over rows, the covariance of two models on the same rows is one as well, and
a function of estimates has the influence that the chain rule gives it (the delta method). So one small class
carries all the intervals and all the paired tests, without resampling and without a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr, ndtri

FloatArray = NDArray[np.float64]
Scale = Literal["linear", "log", "logit"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number and its influence.

    Attributes:
        value: the estimate.
        influence: float64 [rows], scaled so that the estimated variance is its sum of squares. Two
            estimates from the same rows, in the same order, have the sum of products as covariance.
    """

    value: float
    influence: FloatArray

    @property
    def standard_error(self) -> float:
        """Square root of the estimated variance."""
        return float(np.sqrt(self.influence @ self.influence))

    def interval(self, confidence: float, scale: Scale = "linear") -> tuple[float, float]:
        """The two-sided interval of a normal approximation, made on a scale where it is apt.

        Args:
            confidence: probability that the interval holds the true value, in (0, 1).
            scale: ``logit`` keeps a share within (0, 1) and ``log`` a ratio above 0. At the very edge,
                where these are infinite, the linear scale is used.

        Returns:
            The ends, low first.
        """
        reach = quantile((1 + confidence) / 2) * self.standard_error
        if scale == "log" and self.value > 0:
            factor = float(np.exp(reach / self.value))
            return self.value / factor, self.value * factor
        if scale == "logit" and 0 < self.value < 1:
            centre, spread = logit(self.value), reach / (self.value * (1 - self.value))
            return float(expit(centre - spread)), float(expit(centre + spread))
        return self.value - reach, self.value + reach

    def minus(self, other: Estimate) -> Estimate:
        """The difference of two estimates from the same rows."""
        return Estimate(self.value - other.value, self.influence - other.influence)

    def relative_to(self, other: Estimate) -> Estimate:
        """``self / other - 1`` of two estimates from the same rows."""
        ratio = self.value / other.value
        return Estimate(ratio - 1, (self.influence - ratio * other.influence) / other.value)

    def negated(self) -> Estimate:
        """The same with the other sign."""
        return Estimate(-self.value, -self.influence)

    def p_value(self) -> float | None:
        """Two-sided p-value of the hypothesis that the true value is 0.

        Returns:
            1 for an estimate of 0 without spread, as for a model and its copy. None for any other estimate
            without spread: the normal approximation says nothing of it.
        """
        error = self.standard_error
        if error > 0:
            return 2 * probability_above(abs(self.value) / error)
        return 1.0 if self.value == 0 else None


def quantile(probability: float) -> float:
    """The standard normal distribution's quantile."""
    return float(ndtri(probability))


def probability_above(value: float) -> float:
    """The standard normal distribution's mass above ``value``."""
    return float(ndtr(-value))
