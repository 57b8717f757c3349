"""Candidate against production on the same rows."""

from __future__ import annotations

from collections.abc import Mapping

from ml.evaluation.estimate import Estimate, quantile
from ml.evaluation.layout import Gain

POWER = 0.8


def compare(
    candidate: Estimate, production: Estimate, confidence: float, lower_is_better: bool
) -> Gain | None:
    """The gain of a candidate, with its paired test.

    The test is on the difference in the metric's own unit: DeLong's paired test for AUC, the paired z-test
    for log loss. Interval and standard error are those of the relative gain, by the delta method.

    Args:
        candidate: the estimate for the candidate.
        production: the estimate for production, from the same rows in the same order.
        confidence: of the interval; 1 - ``confidence`` is the size of the test.
        lower_is_better: turns the sign, so that a gain above 0 is always for the better.

    Returns:
        None if production's value is 0, of which nothing is a share.
    """
    if production.value == 0:
        return None
    difference, relative = candidate.minus(production), candidate.relative_to(production)
    if lower_is_better:
        difference, relative = difference.negated(), relative.negated()
    low, high = relative.interval(confidence)
    return Gain(
        relative=relative.value,
        absolute=difference.value,
        low=low,
        high=high,
        standard_error=relative.standard_error,
        p_value=difference.p_value(),
        detectable=(quantile((1 + confidence) / 2) + quantile(POWER)) * relative.standard_error,
    )


def rejected_by_holm(p_values: Mapping[str, float], size: float) -> set[str]:
    """Which of several hypotheses to reject, so that a true one is among them at most as often as ``size``.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6,
    1979. It holds whatever the dependence between the tests; slices overlap.
    """
    rejected: set[str] = set()
    for name in sorted(p_values, key=lambda name: (p_values[name], name)):
        if p_values[name] > size / (len(p_values) - len(rejected)):
            break
        rejected.add(name)
    return rejected
