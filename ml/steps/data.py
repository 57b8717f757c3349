"""Steps from a landed day to checked, described, gathered days."""

from __future__ import annotations

import logging

from ml.artifact import Artifact, Window
from ml.connections import KafkaConnection
from ml.day import Day
from ml.errors import DataRejected
from ml.identities import (
    identify_anomalies,
    identify_drift_report,
    identify_statistics,
    identify_training_window,
)
from ml.pipelines import load_pipeline
from ml.steps.landing import land_examples
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
