"""The steps of a night. Airflow's tasks and the command line call these and nothing below.

A step names what it makes and from what, and lets its domain write it. Each domain is imported by the
step that needs it: landing and the gate wait for no TensorFlow.
"""

from __future__ import annotations

import logging
from typing import Any

from ml.artifact import Artifact, Window
from ml.connections import KafkaConnection, MlflowConnection, ServingConnection
from ml.day import Day
from ml.errors import DataRejected
from ml.pipelines import load_pipeline, pipeline_names
from ml.training_window import WindowDay, earlier_days, read_training_rows, write_training_window

log = logging.getLogger(__name__)

__all__ = [
    "check_pipeline",
    "compute_statistics",
    "decide_blessing",
    "evaluate_candidate",
    "gather_window",
    "land_examples",
    "load_pipeline",
    "log_to_mlflow",
    "measure_drift",
    "pipeline_names",
    "push_model",
    "resolve_production",
    "stop_training",
    "train_candidate",
    "validate_examples",
]


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


def resolve_production(
    pipeline: str,
    start: str,
    end: str,
    refresh: str = "",
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
) -> Artifact:
    """Read once which version is really serving; the whole run is judged against it.

    A second reading for the same window returns the first, so that a rerun repeats the judgement that
    was made. ``refresh`` is a reason to read anew.

    Raises:
        Unavailable: if the model server or the registry does not answer.
        Misconfigured: if the two disagree.
    """
    from ml import release

    day = Day.of(pipeline, start, end)
    return day.produce(
        "production",
        inputs={},
        config={"model": day.pipeline.serving.model, "label": day.pipeline.serving.label, "refresh": refresh},
        write=lambda draft: release.resolve_production(day.pipeline, serving, mlflow, day.store, draft),
    )


def land_examples(pipeline: str, start: str, end: str, *, kafka: KafkaConnection) -> Artifact:
    """Land one window of the topic as Parquet, with its offsets and what was rejected.

    Raises:
        Unavailable: if no broker answers.
        Misconfigured: if topic or credentials are wrong.
        DataRejected: if the window is empty, expired or holds too many rejects.
    """
    from ml import landing

    day = Day.of(pipeline, start, end)
    config = day.settings("landing")
    offsets = day.produce(
        "offsets", {}, config, lambda draft: landing.resolve_offsets(day.pipeline, day.window, kafka, draft)
    )
    ranges = day.store.open(offsets)
    examples = day.produce(
        "examples",
        {"offsets": offsets},
        config,
        lambda draft: landing.land_examples(day.pipeline, day.window, ranges, kafka, draft),
    )
    landing.check_landed(day.pipeline, day.store.manifest(examples).facts, examples)
    return examples


def compute_statistics(examples: Artifact) -> Artifact:
    """Describe the landed day: TFDV's statistics and exact value counts."""
    from ml import validation

    day = Day.of_artifact(examples)
    return day.produce(
        "statistics",
        {"examples": examples},
        day.settings("features"),
        lambda draft: validation.compute_statistics(day.pipeline, day.store.open(examples), draft),
    )


def validate_examples(examples: Artifact, statistics: Artifact) -> Artifact:
    """Hold the day against the reviewed schema; write the anomalies, then stop if one says stop.

    Raises:
        AnomaliesFound: with the anomalies as evidence.
    """
    from ml import validation

    day = Day.of_artifact(statistics)
    anomalies = day.produce(
        "anomalies",
        {"examples": examples, "statistics": statistics},
        day.settings("validation"),
        lambda draft: validation.validate_examples(
            day.pipeline, day.store.open(statistics), day.store.open(examples), draft
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
    return write_training_window(day, [*earlier, today])


def _earlier_day(day: Day, window: Window, kafka: KafkaConnection) -> WindowDay:
    name = day.pipeline.name_of(window)
    try:
        examples = land_examples(day.pipeline.name, **window.as_json(), kafka=kafka)
        statistics = compute_statistics(examples)
        anomalies = validate_examples(examples, statistics)
    except DataRejected as rejected:
        log.warning("%s is left out of the training window: %s", name, rejected)
        return WindowDay(
            day=name, examples=None, statistics=None, anomalies=None, left_out=type(rejected).__name__
        )
    return WindowDay(day=name, examples=examples, statistics=statistics, anomalies=anomalies, left_out=None)


def measure_drift(statistics: Artifact, production: Artifact) -> Artifact:
    """Write the drift report of one day's statistics against production's baseline.

    The report is written whatever it says. Measuring is this step's business and judging is the gate's,
    so that a day that drifted still leaves evidence behind.
    """
    from ml import validation

    day = Day.of_artifact(statistics)
    baseline: list[Artifact] = day.store.read_json(production)["statistics"]
    return day.produce(
        "drift_report",
        {"statistics": statistics, "production": production},
        day.settings("drift", "features"),
        lambda draft: validation.measure_drift(
            day.pipeline, day.store.open(statistics), [day.store.open(part) for part in baseline], draft
        ),
    )


def train_candidate(training_window: Artifact) -> Artifact:
    """Train a Wide & Deep model on the window, but for the held-out end of its last day.

    Raises:
        Interrupted: if workers were lost more often than ``training.max_restarts``.
    """
    from ml import training

    day = Day.of_artifact(training_window)
    rows = read_training_rows(day, training_window)
    return day.produce(
        "model",
        {"training_window": training_window},
        {**day.settings("training", "features"), "label": day.pipeline.label},
        lambda draft: training.train_candidate(
            day.pipeline, training.TrainingData(rows.days, rows.holdout), draft
        ),
    )


def stop_training() -> None:
    """End every worker process that this process has started."""
    from ml import training

    training.stop_training()


def evaluate_candidate(model: Artifact, production: Artifact, training_window: Artifact) -> Artifact:
    """Score candidate and production on the same held-out rows, which neither has seen."""
    from ml import evaluation

    day = Day.of_artifact(model)
    served: Artifact | None = day.store.read_json(production)["model"]
    rows = read_training_rows(day, training_window)
    models = evaluation.Models(day.store.open(model), day.store.open(served) if served else None)
    return day.produce(
        "evaluation",
        {"model": model, "production": production, "training_window": training_window},
        day.settings("gate", "slices", "features"),
        lambda draft: evaluation.evaluate_candidate(day.pipeline, models, rows.days[-1], rows.holdout, draft),
    )


def decide_blessing(pipeline: str, start: str, end: str, evidence: dict[str, Artifact | None]) -> Artifact:
    """Judge what was measured. The gate is closed by default and says why in words.

    Args:
        pipeline: the pipeline's name.
        start: of the window.
        end: of the window, and so the candidate's watermark.
        evidence: ``production``, ``anomalies``, ``drift_report`` and ``evaluation``; None for what was
            not made, which is a finding too.
    """
    from ml import evaluation

    day = Day.of(pipeline, start, end)
    read: dict[str, Any] = {role: part and day.store.read_json(part) for role, part in evidence.items()}
    return day.produce(
        "blessing",
        evidence,
        day.settings("gate"),
        lambda draft: evaluation.decide_blessing(
            day.pipeline, evaluation.Evidence(watermark=day.window.end, **read), draft
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


def log_to_mlflow(
    pipeline: str,
    start: str,
    end: str,
    run: dict[str, str],
    artifacts: dict[str, Artifact | None],
    *,
    mlflow: MlflowConnection,
) -> dict[str, str]:
    """Write the night into MLflow: one run, found again by its key, whatever the night came to."""
    raise NotImplementedError


def push_model(
    blessing: Artifact,
    logged: dict[str, str],
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
) -> Artifact:
    """Publish a blessed model: stage, load, ask the golden requests, then move the label and the alias."""
    raise NotImplementedError
