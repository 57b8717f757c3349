"""Settings of how a few users try a version first."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ml.config.section import Count, Fraction, Positive, Section


class Rollout(Section):
    """How the canary is judged by what users see; `ml.release.rollout`.

    Attributes:
        min_requests: with fewer on the canary it is not promoted.
        max_minutes: how long it is watched; without a decision by then it is held.
        error_difference: how much larger than stable's its share of failed requests may be.
        latency_quantile: which part of the requests is compared by how long they take.
        latency_ratio: how many times stable's latency its own may be.
        score_shift: how far the distributions of the scores may lie apart (Kolmogorov-Smirnov); null does
            not compare them.
        false_alarm: how probable it may be that a canary within these limits is withdrawn.
        missed_alarm: how probable it may be that one beyond the limit of errors or scores is promoted.
        poll_seconds: from one judgement to the next.
        connection: the Airflow Connection of Prometheus.
    """

    min_requests: Count = 1000
    max_minutes: Positive = 240
    error_difference: Fraction = 0.01
    latency_quantile: Fraction = 0.99
    latency_ratio: Annotated[float, Field(gt=1)] = 2.0
    score_shift: Fraction | None = 0.15
    false_alarm: Fraction = 0.01
    missed_alarm: Fraction = 0.05
    poll_seconds: Positive = 60
    connection: str = "prometheus_default"


class Realised(Section):
    """How a canary is judged once more by what its users did; `ml.evaluation.realised`.

    An answer and the event that came of it are the same where ``request`` and ``inputs`` are.

    Attributes:
        request: the landed field that holds the request's ``X-Request-Id``; null if none does.
        inputs: features, of type string or int, that the request and the landed event both have.
        within_minutes: an event comes at most so long after the answer that it belongs to.
        min_rows: with fewer joined rows of a track nothing is concluded.
        clicks_lost: the share of stable's realised rate of positives that the canary may lose.
        log_loss_gained: how much larger than stable's its log loss may be, as a share of stable's.
        confidence: of all comparisons together.
    """

    request: str | None = None
    inputs: tuple[str, ...] = ()
    within_minutes: Positive = 30
    min_rows: Count = 1000
    clicks_lost: Fraction = 0.05
    log_loss_gained: Fraction = 0.05
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95

    @property
    def key(self) -> tuple[str, ...]:
        """The landed fields that tell which answer an event came of."""
        return (*([self.request] if self.request else []), *self.inputs)

    @model_validator(mode="after")
    def _some_key(self) -> Self:
        if not self.key:
            raise ValueError(
                "expected request, inputs or both, by which an event is found that came of an answer"
            )
        return self


class Canary(Section):
    """How a blessed version is shown to a few users first; docs/tracks.md.

    Attributes:
        share: of the users who see it.
        label: the model server's version label of the canary track.
        servers: ``one`` where the label of the same model server tells the tracks apart, ``two`` where the
            canary has a server of its own, whose crash cannot touch stable.
        header: the request header, or gRPC metadata key, whose value keeps a user on one track.
        connection: the Airflow Connection of the second model server.
        rollout: how it is judged.
        realised: how it is judged once more when the clicks have landed; null does not.
    """

    share: Fraction = 0.10
    label: str = "canary"
    servers: Literal["one", "two"] = "two"
    header: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")] = "X-User-Id"
    connection: str = "serving_canary_default"
    rollout: Rollout = Rollout()
    realised: Realised | None = None
