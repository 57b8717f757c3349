"""Steps from the topic to checked, described, gathered days."""

from __future__ import annotations

import logging

from ml.artifact import Artifact, Window
from ml.connections import KafkaConnection
from ml.day import Day
from ml.decisions import Decision, Decisions, deciding
from ml.errors import DataRejected, Misconfigured, WindowExpired
from ml.identities import (
    identify_anomalies,
    identify_drift_report,
    identify_examples,
    identify_offsets,
    identify_statistics,
    identify_training_window,
)
from ml.pipelines import load_pipeline
from ml.training_window import WindowDay, earlier_days, write_training_window

log = logging.getLogger(__name__)


def check_pipeline(pipeline: str) -> str:
    """Read and check a pipeline's settings and schema as every step does.

    Returns:
        A sentence for a person.

    Raises:
        Misconfigured: naming every wrong key.
    """
    settings = load_pipeline(pipeline)
    fields = len(settings.read_schema().columns)
    return f"{settings.folder} is a valid pipeline: {fields} fields, {len(settings.features.names)} features"


def land_examples(
    pipeline: str,
    start: str,
    end: str,
    accept_gap: str = "",
    refresh: str = "",
    *,
    kafka: KafkaConnection,
) -> Artifact:
    """Land one window of the topic as Parquet, with its offsets and what was rejected.

    What a person decides about a day counts once the day is landed by it, and then for every later landing
    of the day, in whichever run. See `ml.decisions`.

    Args:
        pipeline: the pipeline's name.
        start: of the window.
        end: of the window.
        accept_gap: a reason to go on with what is left, if the topic has lost some of the window.
        refresh: a reason to land the window anew, with the late events that have come by now.
        kafka: how to reach the brokers.

    Raises:
        Unavailable: if no broker answers.
        Misconfigured: if topic or credentials are wrong.
        DataRejected: if the window is empty, expired or holds too many rejects.
    """
    from ml import landing

    day = Day.of(pipeline, start, end)
    if accept_gap or refresh:
        _refuse_in_what_if(day)
        examples = _decide(day, accept_gap, refresh, kafka)
    else:
        examples = _land(day, Decisions.of(day).standing, kafka)
    landing.check_landed(day.pipeline, day.store.manifest(examples).facts, examples)
    return examples


def compute_statistics(examples: Artifact) -> Artifact:
    """Describe the landed day: TFDV's statistics and exact value counts."""
    from ml import validation

    day = Day.of_artifact(examples)
    return day.store.produce(
        identify_statistics(day, examples),
        lambda draft: validation.compute_statistics(day.pipeline, day.store.open(examples), draft),
    )


def validate_examples(examples: Artifact, statistics: Artifact) -> Artifact:
    """Hold the day against the reviewed schema; write the anomalies, then stop if one says stop.

    Raises:
        AnomaliesFound: with the anomalies as evidence.
    """
    from ml import validation

    day = Day.of_artifact(statistics)
    anomalies = day.store.produce(
        identify_anomalies(day, examples, statistics),
        lambda draft: validation.validate_examples(
            day.pipeline,
            day.store.open(statistics),
            day.store.open(examples),
            day.store.manifest(examples).facts["unknown_fields"],
            draft,
        ),
    )
    validation.check_examples(day.store.read_json(anomalies), anomalies)
    return anomalies


def gather_window(
    examples: Artifact, statistics: Artifact, anomalies: Artifact, *, kafka: KafkaConnection
) -> Artifact:
    """Gather the days of the training window, landing and checking those that are not there yet.

    An earlier day whose data was rejected is left out, by name; the run's own day is always in.
    """
    day = Day.of_artifact(examples)
    earlier = [_earlier_day(day, window, kafka) for window in earlier_days(day)]
    today = WindowDay(
        day=day.name, examples=examples, statistics=statistics, anomalies=anomalies, left_out=None
    )
    days = [*earlier, today]
    return day.store.produce(
        identify_training_window(day, days), lambda draft: write_training_window(day, days, draft)
    )


def measure_drift(statistics: Artifact, production: Artifact) -> Artifact:
    """Write the drift report of one day's statistics against production's baseline.

    The report is written whatever it says. Measuring is this step's business and judging is the gate's,
    so that a day that drifted still leaves evidence behind.
    """
    from ml import validation

    day = Day.of_artifact(statistics)
    baseline: list[Artifact] = day.store.read_json(production)["statistics"]
    return day.store.produce(
        identify_drift_report(day, statistics, production),
        lambda draft: validation.measure_drift(
            day.pipeline, day.store.open(statistics), [day.store.open(part) for part in baseline], draft
        ),
    )


def infer_schema(examples: Artifact) -> str:
    """Propose a schema from a landed day, as a text proto for a person to review."""
    from ml import validation

    day = Day.of_artifact(examples)
    return validation.infer_schema(day.pipeline, day.store.open(examples))


def diff_schema(examples: Artifact) -> str:
    """Say in words how the reviewed schema differs from what a landed day suggests."""
    from ml import validation

    day = Day.of_artifact(examples)
    return "\n".join(validation.diff_schema(day.pipeline, day.store.open(examples)))


def _decide(day: Day, accept_gap: str, refresh: str, kafka: KafkaConnection) -> Artifact:
    """Land a day as a person wants it, and remember the decision when that has come to its end."""
    with deciding(day) as decisions:
        decided = decisions.adding("refresh", refresh)
        try:
            examples = _land(day, decided.standing, kafka)
            _check_refreshed(day, decisions.standing, examples)
        except WindowExpired:
            accepting = decided.adding("accept_gap", accept_gap)
            if accepting == decided:
                raise
            decided = accepting
            examples = _land(day, decided.standing, kafka)
        decided.save()
    return examples


def _check_refreshed(day: Day, decision: Decision, examples: Artifact) -> None:
    """Hold newly landed examples against those that the day had by a decision, if it had any."""
    from ml import landing

    offsets = day.store.find(identify_offsets(day, decision))
    before = offsets and day.store.find(identify_examples(day, offsets))
    if before:
        landing.check_refreshed(day.store.manifest(before).facts, day.store.manifest(examples).facts)


def _land(day: Day, decision: Decision, kafka: KafkaConnection) -> Artifact:
    from ml import landing

    offsets = day.store.produce(
        identify_offsets(day, decision),
        lambda draft: landing.resolve_offsets(day.pipeline, day.window, decision, kafka, draft),
    )
    ranges = day.store.open(offsets)
    return day.store.produce(
        identify_examples(day, offsets),
        lambda draft: landing.land_examples(day.pipeline, day.window, ranges, kafka, draft),
    )


def _refuse_in_what_if(day: Day) -> None:
    if day.variant:
        raise Misconfigured(
            f"the what-if {day.variant['name']} cannot decide how {day.name} is landed: that holds for every "
            "later landing of the day. Decide it in a normal run, without --what-if; the what-if follows."
        )


def _earlier_day(day: Day, window: Window, kafka: KafkaConnection) -> WindowDay:
    name = day.pipeline.name_of(window)
    try:
        examples = land_examples(day.pipeline.name, **window.as_json(), kafka=kafka)
        statistics = compute_statistics(examples)
        anomalies = validate_examples(examples, statistics)
    except DataRejected as rejected:
        log.warning("%s is left out of the training window: %s", name, str(rejected).splitlines()[0])
        return WindowDay(
            day=name, examples=None, statistics=None, anomalies=None, left_out=type(rejected).__name__
        )
    return WindowDay(day=name, examples=examples, statistics=statistics, anomalies=anomalies, left_out=None)
