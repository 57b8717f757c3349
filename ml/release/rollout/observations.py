"""What both tracks have answered over the same time, as Prometheus has counted it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from ml.connections import PrometheusConnection
from ml.errors import Unavailable
from ml.release.prometheus import Prometheus, open_prometheus
from ml.release.rollout.proportion import Proportion
from ml.trials import CANARY, STABLE

# What a counter has grown by, from the first scrape in the range to the last; never what was in it before:
# counters carry no version, and an earlier canary's failures may be all that they hold. Where a counter was
# reset meanwhile, it is Prometheus' estimate; where it has not come back yet, what it had come to. It is all
# of a counter that was not there yet when others of its target were scraped in the range: increase() would
# begin to count such a one late.
GROWTH = (
    "(increase({0}[{1}]) and resets({0}[{1}]) > 0)"
    " or ({0} and count_over_time({0}[{1}])"
    " < on (job, instance) group_left () min by (job, instance) (sum_over_time(up[{1}])))"
    " or (last_over_time({0}[{1}]) - min_over_time({0}[{1}]))"
)


@dataclass(frozen=True)
class Histogram:
    """How often a value was at most each bound.

    Attributes:
        at_most: bound → how many values, ascending; the last bound is infinite. Empty without values.
    """

    at_most: Mapping[float, int] = field(default_factory=dict)

    @classmethod
    def of(cls, at_most: Mapping[str, int]) -> Self:
        """From bounds as Prometheus and the evidence spell them, in any order."""
        return cls(dict(sorted((float(bound), count) for bound, count in at_most.items())))

    @property
    def count(self) -> int:
        """How many values there are."""
        return self.at_most.get(math.inf, 0)

    @property
    def bounds(self) -> list[float]:
        """The finite bounds."""
        return [bound for bound in self.at_most if math.isfinite(bound)]

    def below(self, bound: float) -> Proportion:
        """The share of the values that are at most a bound."""
        return Proportion(self.at_most.get(bound, 0), self.count)

    def above(self, bound: float) -> Proportion:
        """The share of the values that are larger than a bound."""
        return Proportion(self.count - self.at_most.get(bound, 0), self.count)

    def quantile(self, part: float) -> float:
        """The value that this part of the values does not exceed, linear between bounds; NaN without values.

        Beyond the last finite bound it is that bound, as in Prometheus' ``histogram_quantile``.
        """
        low, seen, wanted = 0.0, 0, part * self.count
        for bound, count in self.at_most.items() if self.count else ():
            if count >= wanted:
                return low + (bound - low) * (wanted - seen) / (count - seen) if math.isfinite(bound) else low
            low, seen = max(bound, 0.0), count
        return math.nan

    def as_json(self) -> dict[str, int]:
        """For the evidence."""
        return {str(bound): count for bound, count in self.at_most.items()}


@dataclass(frozen=True)
class Answers:
    """What one track has answered its users.

    Attributes:
        ok: good answers.
        failed: answers that were none. A request that is its own sender's fault counts as neither.
        seconds: how long the good answers took.
        scores: one score of each.
    """

    ok: int = 0
    failed: int = 0
    seconds: Histogram = Histogram()
    scores: Histogram = Histogram()

    @property
    def failures(self) -> Proportion:
        """The share that failed."""
        return Proportion(self.failed, self.ok + self.failed)

    def as_json(self) -> dict[str, Any]:
        """For the evidence."""
        histograms = {"seconds": self.seconds.as_json(), "scores": self.scores.as_json()}
        return {"ok": self.ok, "failed": self.failed, **histograms}


@dataclass(frozen=True)
class Observations:
    """Both tracks over the same time.

    Attributes:
        since: from when on.
        until: to when.
        stable: what stable answered.
        canary: what the canary answered, also where stable had to answer for it.
        problem: why nothing could be observed; empty if it could.
    """

    since: datetime
    until: datetime
    stable: Answers = Answers()
    canary: Answers = Answers()
    problem: str = ""

    @property
    def minutes(self) -> float:
        """How long that is."""
        return (self.until - self.since).total_seconds() / 60

    def as_json(self) -> dict[str, Any]:
        """For the evidence."""
        tracks = {STABLE: self.stable.as_json(), CANARY: self.canary.as_json()}
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "problem": self.problem,
            **tracks,
        }


def observe(model: str, since: datetime, until: datetime, connection: PrometheusConnection) -> Observations:
    """Ask Prometheus what both tracks of a model have answered.

    Prometheus' own silence is an observation too: it is said in ``problem``, and nothing was seen.
    """
    try:
        with open_prometheus(connection) as prometheus:
            reading = Reading(prometheus, model, since, until)
            return Observations(since, until, reading.answers(STABLE), reading.answers(CANARY))
    except Unavailable as error:
        return Observations(since, until, problem=str(error))


@dataclass(frozen=True)
class Reading:
    """What one model's counters have grown by between two moments.

    Attributes:
        prometheus: has the counters.
        model: whose counters.
        since: from when on.
        until: to when.
    """

    prometheus: Prometheus
    model: str
    since: datetime
    until: datetime

    def answers(self, track: str) -> Answers:
        """What a track has answered.

        Raises:
            Unavailable: if Prometheus does not answer.
            Misconfigured: if what answers is no Prometheus.
        """
        outcomes = self._growth("router_requests_total", track, "outcome")
        seconds = self._growth("router_track_seconds_bucket", track, "le")
        scores = self._growth("router_score_bucket", track, "le")
        return Answers(
            ok=outcomes.get("ok", 0),
            failed=outcomes.get("failed", 0),
            seconds=Histogram.of(seconds),
            scores=Histogram.of(scores),
        )

    def _growth(self, counter: str, track: str, label: str) -> dict[str, int]:
        series = f'{counter}{{model="{self.model}",track="{track}"}}'
        # Rounded down: the range must not reach back before the beginning.
        length = f"{max(1, int((self.until - self.since).total_seconds() * 1000))}ms"
        samples = self.prometheus.query(f"sum by ({label}) ({GROWTH.format(series, length)})", self.until)
        return {sample["metric"][label]: round(float(sample["value"][1])) for sample in samples}
