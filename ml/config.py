"""A pipeline's settings, as ``pipeline.yaml`` in its folder holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ml.artifact import Window
from ml.schema import Schema

Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
Severity = Literal["stop", "warn"]
AlertName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _known_time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"expected an IANA time zone such as Europe/Berlin, found {name!r}")
    return name


class Section(BaseModel):
    """Frozen, and an unknown key is an error: a misspelt threshold must not be a missing one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Landing(Section):
    """Where a day's records come from and which of them count.

    Attributes:
        topic: the Kafka topic; every value is one JSON object.
        time_zone: a window is a calendar day in this zone.
        event_time: the field with the event's time, in milliseconds since the epoch.
        settle_minutes: how long after the day's end late events are waited for.
        seek: ``time`` asks the broker for the offsets of a timestamp; ``scan`` reads the topic from
            its beginning, for brokers whose time index cannot be trusted. Part of no identity: both find
            the same records.
        slack_minutes: how far the time that a record was produced may lie from its event time; one that
            was produced longer before the window is none of it. The scanned range is the window, and the
            wait for late events, widened by it on both sides.
        max_reject_fraction: a larger share of unreadable records stops the run.
        deduplicate: a string or int field by which repeats are dropped: of the window's records with the
            same value the first by partition and offset is kept. By default none are.
        connection: the Airflow Connection of type Kafka.
    """

    topic: str
    time_zone: Annotated[str, AfterValidator(_known_time_zone)]
    event_time: str
    settle_minutes: Annotated[int, Field(ge=0)]
    seek: Literal["time", "scan"] = Field("time", exclude=True)
    slack_minutes: Annotated[int, Field(ge=0)] = 120
    max_reject_fraction: Annotated[float, Field(ge=0, le=1)]
    # Left out where it is null, so that it changes nothing about days that were landed before there was one.
    deduplicate: str | None = Field(None, exclude_if=lambda field: field is None)
    connection: str = Field("kafka_default", exclude=True)


class Validation(Section):
    """Which anomalies stop a run.

    Attributes:
        default: the severity of what is not named below.
        types: by TFDV's anomaly type, for example ``ENUM_TYPE_UNEXPECTED_STRING_VALUES``.
        features: by feature; stronger than ``types``.
        example_count: how many offending records a finding points to.
    """

    default: Severity = "stop"
    types: dict[str, Severity] = {}
    features: dict[str, Severity] = {}
    example_count: Count = 5


class Categorical(Section):
    """A feature with values from a set.

    Exactly one of the two sizes is given.

    Attributes:
        vocabulary: keep this many of the most frequent values; all others share one bucket.
        hash_buckets: hash the value into this many buckets; for features with very many values.
        embedding: the width of its vector in the deep part.
    """

    vocabulary: Count | None = None
    hash_buckets: Count | None = None
    embedding: Count = 8

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.vocabulary is None) == (self.hash_buckets is None):
            raise ValueError("expected exactly one of vocabulary and hash_buckets")
        return self


class Numeric(Section):
    """A feature that is a number. It is standardised, and a missing value is told apart from the mean.

    Attributes:
        scale: ``log`` takes log(1 + x) first, for skewed amounts of at least 0.
        buckets: how many quantile buckets it has where it is wide or crossed.
    """

    scale: Literal["linear", "log"] = "linear"
    buckets: Annotated[int, Field(ge=2)] = 16


class Cross(Section):
    """A product of features, hashed: the memory of the wide part."""

    features: Annotated[tuple[str, ...], Field(min_length=2)]
    hash_buckets: Count


class Features(Section):
    """What the model sees.

    Attributes:
        categorical: by name.
        numeric: by name.
        wide: features of the linear part.
        crossed: products of features, in the linear part too.
        deep: features of the multi-layer perceptron.
    """

    categorical: dict[str, Categorical] = {}
    numeric: dict[str, Numeric] = {}
    wide: tuple[str, ...]
    crossed: tuple[Cross, ...] = ()
    deep: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every feature that the model reads, sorted."""
        return tuple(sorted([*self.categorical, *self.numeric]))

    @model_validator(mode="after")
    def _declared_and_used(self) -> Self:
        used = {*self.wide, *self.deep, *(name for cross in self.crossed for name in cross.features)}
        if both := set(self.categorical) & set(self.numeric):
            raise ValueError(f"expected a feature to be categorical or numeric, found {sorted(both)} in both")
        if undeclared := used - set(self.names):
            raise ValueError(
                f"expected wide, crossed and deep to name declared features; {sorted(undeclared)} are "
                "neither under categorical nor under numeric"
            )
        if unused := set(self.names) - used:
            raise ValueError(
                f"expected every declared feature to be wide, crossed or deep; {sorted(unused)} are not"
            )
        return self


class Slice(Section):
    """A part of the users on which a candidate must not be worse.

    Either ``by`` a categorical feature, which gives a slice for each of its values, or ``name`` and
    ``where`` with the accepted values of each feature.
    """

    by: str | None = None
    name: str | None = None
    where: dict[str, tuple[str | int | float, ...]] = {}

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.by is None) == (self.name is None or not self.where):
            raise ValueError("expected either 'by', or 'name' together with 'where'")
        return self


class Drift(Section):
    """Thresholds of the divergence from production's baseline.

    Attributes:
        thresholds: bits of Kullback-Leibler divergence by feature, after the bias of a finite sample
            has been taken off.
        ignored: features that are expected to move every day, such as identifiers.
        bins: how many common bins a numeric feature is cut into.
        min_rows: with fewer rows the report says that it cannot tell.
    """

    thresholds: dict[str, Positive]
    ignored: tuple[str, ...] = ()
    bins: Annotated[int, Field(ge=2)] = 20
    min_rows: Count = 1000


class Training(Section):
    """How a candidate is trained.

    Attributes:
        window_days: how many days, ending with the run's day, it learns from.
        holdout_fraction: the last part of the day, by event time, which it is judged on.
        epochs: passes over the window.
        batch_size: examples a step over all workers.
        workers: processes of the MultiWorkerMirroredStrategy on this machine.
        hidden_units: widths of the perceptron's layers.
        dropout: share of units dropped in training.
        learning_rate: Adam's, for the deep part.
        wide_learning_rate: FTRL's, for the wide part.
        l1: FTRL's L1 strength, which keeps the wide part sparse.
        l2: FTRL's L2 strength.
        seed: of weights and shuffling.
        max_restarts: how often lost workers are restarted from the last checkpoint.
        checkpoint_steps: steps from one checkpoint to the next.
    """

    window_days: Count
    holdout_fraction: Fraction
    epochs: Count
    batch_size: Count
    workers: Count
    hidden_units: tuple[Count, ...] = (128, 64)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    learning_rate: Positive = 0.001
    wide_learning_rate: Positive = 0.05
    l1: Annotated[float, Field(ge=0)] = 0.0
    l2: Annotated[float, Field(ge=0)] = 0.0
    seed: int = 1
    max_restarts: Annotated[int, Field(ge=0)] = 2
    checkpoint_steps: Count = 200


class Floors(Section):
    """What every candidate must reach, whatever production does.

    Attributes:
        auc: area under the ROC curve, at least.
        calibration_low: predicted clicks / actual clicks, at least.
        calibration_high: predicted clicks / actual clicks, at most.
    """

    auc: Fraction
    calibration_low: Positive
    calibration_high: Positive


class Gate(Section):
    """When a candidate may replace production.

    Attributes:
        metric: what the gain is measured in.
        min_gain: the least relative gain, (candidate - production) / production.
        confidence: of the intervals and of the paired tests.
        slice_margin: how much of the metric a slice may lose at most, relatively (non-inferiority).
        min_examples: with fewer held-out rows the verdict is INCONCLUSIVE.
        min_slice_examples: a slice with fewer rows is shown but does not vote.
        floors: absolute limits.
    """

    metric: Literal["auc", "pr_auc", "log_loss"]
    min_gain: Annotated[float, Field(ge=0)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    slice_margin: Annotated[float, Field(ge=0)]
    min_examples: Count
    min_slice_examples: Count
    floors: Floors


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


class Watch(Section):
    """Alerts that take back the last move of the users' label; docs/operations.md.

    Attributes:
        alerts: their names at Prometheus. One counts if its label ``model`` names this model, and it has no
            label ``track`` or the users' own, ``stable``.
        within_hours: so long after a move an alert is held against it. Later a person decides.
        connection: the Airflow Connection of Prometheus.
    """

    alerts: Annotated[tuple[AlertName, ...], Field(min_length=1)]
    within_hours: Positive = 24
    connection: str = "prometheus_default"


class Approval(Section):
    """Which decisions wait for a person in Airflow; the question has the evidence in its body.

    Attributes:
        verdicts: PASS and BOOTSTRAP are asked about before the night's push, PROMOTE before a canary answers
            all users. What keeps users where they are, or takes a canary from them, waits for nobody.
        response_hours: how long an answer is waited for; without one nothing is published or promoted. Less
            than a day: the run of the next night waits for this one.
    """

    verdicts: Annotated[tuple[Literal["PASS", "BOOTSTRAP", "PROMOTE"], ...], Field(min_length=1)]
    response_hours: Annotated[float, Field(gt=0, lt=24)] = 12

    @property
    def before_push(self) -> tuple[str, ...]:
        """The gate's verdicts among them."""
        return tuple(verdict for verdict in self.verdicts if verdict != "PROMOTE")


class Serving(Section):
    """Where the model is served.

    Attributes:
        model: the model's name at the model server and in the registry.
        label: the model server's version label that users' requests name.
        ready_seconds: how long a new version may take to load.
        warmup_requests: how many real rows warm a version up, at most 1000.
        golden_requests: how many held-out rows the served version must answer like the offline model.
        connection: the Airflow Connection of the model server.
        keep_versions: so many of the last versions stay on the model server's disk, besides those that are
            served, labelled or to be gone back to. Part of no identity.
        canary: how a version is shown to a few users first; null publishes it to all at once. Part of no
            identity: it does not change what is pushed.
        approval: which decisions wait for a person; null asks nobody. Part of no identity.
        watch: which alerts move the label back to the previous version; null leaves that to a person. Part
            of no identity.
    """

    model: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    label: str = "stable"
    ready_seconds: Positive = 120
    warmup_requests: Annotated[int, Field(ge=0, le=1000)] = 100
    golden_requests: Count = 100
    connection: str = Field("serving_default", exclude=True)
    keep_versions: Count = Field(5, exclude=True)
    canary: Canary | None = Field(None, exclude=True)
    approval: Approval | None = Field(None, exclude=True)
    watch: Watch | None = Field(None, exclude=True)

    @model_validator(mode="after")
    def _two_labels(self) -> Self:
        if self.canary and self.canary.label == self.label:
            raise ValueError(f"expected canary.label to differ from label, found {self.label!r} for both")
        return self

    @model_validator(mode="after")
    def _something_to_promote(self) -> Self:
        if self.approval and "PROMOTE" in self.approval.verdicts and self.canary is None:
            raise ValueError("expected a canary where approval.verdicts has PROMOTE, for nothing else is")
        return self


class Snapshots(Section):
    """How long a day can be looked back at.

    Attributes:
        keep_days: for so many days the statistics of each day, and the schema that it was held against,
            are kept, whatever becomes of its examples.
    """

    keep_days: Count = 30


class Housekeeping(Section):
    """How long the store keeps what nothing in service was made from; see docs/operations.md.

    Days are counted from the end of an artifact's day, or from when a run last made or used it, whichever
    is later. What is kept keeps what it was made from: a day stays as long as a model that learned from it.

    Attributes:
        examples_days: landed days. The topic has lost them long before, so nothing brings them back.
        models_days: models, and the reports and verdicts of their nights.
        what_if_days: all that a what-if has made.
    """

    examples_days: Count = 90
    models_days: Count = 30
    what_if_days: Count = 30


class Pipeline(Section):
    """All settings of one pipeline.

    Attributes:
        name: the folder's name.
        folder: where the settings were read from.
        owner: who is asked when it stops; the DAG's owner.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    folder: Path = Field(exclude=True)
    owner: str
    description: str
    tags: tuple[str, ...] = ()
    label: str
    landing: Landing
    validation: Validation
    features: Features
    slices: tuple[Slice, ...] = ()
    drift: Drift
    training: Training
    gate: Gate
    serving: Serving
    snapshots: Snapshots = Snapshots()
    housekeeping: Housekeeping = Housekeeping()

    @property
    def schema_path(self) -> Path:
        """The reviewed schema."""
        return self.folder / "schema.pbtxt"

    def name_of(self, window: Window) -> str:
        """The calendar day of a window in the pipeline's time zone, ISO 8601."""
        return window.day(self.landing.time_zone).isoformat()

    def read_schema(self) -> Schema:
        """Read the reviewed schema.

        Raises:
            Misconfigured: if the file is missing or is not a schema.
        """
        return Schema.read(self.schema_path)
