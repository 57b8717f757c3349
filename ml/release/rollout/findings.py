"""What the canary is compared with stable in: failures, latency, scores.

Pure. Each comparison says ``worse`` if the canary is beyond its limit for sure, ``fine`` if it is within it,
and ``open`` as long as neither is known. For sure means by bounds that hold at every look
(`ml.release.rollout.proportion`), for each of the two tracks with half of the error that is allowed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ml.config import Rollout
from ml.release.rollout.observations import Histogram, Observations
from ml.release.rollout.proportion import Proportion

COMPARISONS = 3


@dataclass(frozen=True)
class Finding:
    """What one comparison came to.

    Attributes:
        state: ``worse``, ``fine`` or ``open``.
        sentence: with the numbers.
    """

    state: Literal["worse", "fine", "open"]
    sentence: str


@dataclass(frozen=True)
class Comparison:
    """One comparison of the two tracks, and how wrong it may be.

    Attributes:
        limits: from the pipeline's settings.
        seen: both tracks over the same time.
    """

    limits: Rollout
    seen: Observations

    @property
    def alarm_error(self) -> float:
        """How probable a false alarm of this comparison may be, so that all of them together keep theirs."""
        return self.limits.false_alarm / COMPARISONS

    def failures(self) -> Finding:
        """Whether the canary's share of failed requests is more than ``error_difference`` above stable's."""
        canary, stable, allowed = (
            self.seen.canary.failures,
            self.seen.stable.failures,
            self.limits.error_difference,
        )
        alarm, miss = self.alarm_error / 2, self.limits.missed_alarm / 2
        said = f"{_percent(canary)} of the canary's requests fail, {_percent(stable)} of stable's"
        if canary.lower(alarm) - stable.upper(alarm) > allowed:
            return Finding("worse", f"{said}: more than {allowed:.1%} above, for sure")
        excess = canary.upper(miss) - stable.lower(miss)
        if excess < allowed:
            return Finding("fine", f"{said}: less than {allowed:.1%} above, for sure")
        return Finding("open", f"{said}: up to {excess:.1%} above is possible, allowed is {allowed:.1%}")

    def latency(self) -> Finding:
        """Whether the canary's quantile is more than ``latency_ratio`` times stable's.

        Worse if stable's quantile lies below a bound of the histogram, and the canary's above one that is so
        many times larger, for sure. The buckets are too wide to prove the opposite, so it is fine by the
        estimates between the bounds.
        """
        part, ratio = self.limits.latency_quantile, self.limits.latency_ratio
        canary, stable = self.seen.canary.seconds, self.seen.stable.seconds
        took, took_stable = canary.quantile(part), stable.quantile(part)
        said = f"the canary's p{part * 100:g} is {_milliseconds(took)}, stable's {_milliseconds(took_stable)}"
        if self._is_slower(canary, stable):
            return Finding("worse", f"{said}: more than {ratio:g} times, for sure")
        if took <= ratio * took_stable:
            return Finding("fine", f"{said}: at most {ratio:g} times")
        return Finding("open", f"{said}: allowed are {ratio:g} times, and it is not sure yet")

    def scores(self) -> Finding:
        """Whether the distributions of the scores lie further apart than ``score_shift``.

        The distance is the largest difference of the shares at or below a bound of the histogram.
        """
        allowed = self.limits.score_shift
        if allowed is None:
            return Finding("fine", "scores are not compared")
        canary, stable = self.seen.canary.scores, self.seen.stable.scores
        if not canary.count or not stable.count:
            return Finding("open", f"there are {canary.count} scores of the canary, {stable.count} of stable")
        bounds = stable.bounds
        said = f"the scores lie {max(_apart(canary, stable, bound) for bound in bounds):.3f} apart"
        error = self.alarm_error / 2 / len(bounds)
        if any(_least_apart(canary.below(b), stable.below(b), error) > allowed for b in bounds):
            return Finding("worse", f"{said}: more than {allowed:g}, for sure")
        error = self.limits.missed_alarm / 2
        most = max(_most_apart(canary.below(bound), stable.below(bound), error) for bound in bounds)
        if most < allowed:
            return Finding("fine", f"{said}: less than {allowed:g}, for sure")
        return Finding("open", f"{said}: up to {most:.3f} is possible, allowed is {allowed:g}")

    def _is_slower(self, canary: Histogram, stable: Histogram) -> bool:
        slow, bounds = 1 - self.limits.latency_quantile, stable.bounds
        error = self.alarm_error / 2 / max(1, len(bounds))
        below = [bound for bound in bounds if bound > 0 and stable.above(bound).upper(error) < slow]
        beyond = [bound for bound in bounds if below and bound >= self.limits.latency_ratio * below[0]]
        return bool(beyond) and canary.above(beyond[0]).lower(error) > slow


def compare(limits: Rollout, seen: Observations) -> list[Finding]:
    """Every comparison."""
    comparison = Comparison(limits, seen)
    return [comparison.failures(), comparison.latency(), comparison.scores()]


def _apart(canary: Histogram, stable: Histogram, bound: float) -> float:
    return abs(canary.below(bound).estimate - stable.below(bound).estimate)


def _least_apart(canary: Proportion, stable: Proportion, error: float) -> float:
    above = canary.lower(error) - stable.upper(error)
    below = stable.lower(error) - canary.upper(error)
    return max(0.0, above, below)


def _most_apart(canary: Proportion, stable: Proportion, error: float) -> float:
    above = canary.upper(error) - stable.lower(error)
    below = stable.upper(error) - canary.lower(error)
    return max(above, below)


def _percent(proportion: Proportion) -> str:
    share = "none" if math.isnan(proportion.estimate) else f"{proportion.estimate:.2%}"
    return f"{share} ({proportion.count} of {proportion.total})"


def _milliseconds(seconds: float) -> str:
    return "unknown" if math.isnan(seconds) else f"{seconds * 1000:.1f} ms"
