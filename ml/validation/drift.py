"""Comparing a day's statistics with those that production was trained on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tensorflow_metadata.proto.v0 import statistics_pb2

from ml.config import Pipeline
from ml.schema import Schema
from ml.store import Draft
from ml.validation.cells import Cells, categorical_cells, numeric_cells
from ml.validation.counts import read_counts
from ml.validation.drift_report import (
    DriftReport,
    FeatureDrift,
    Kind,
    Question,
    compared,
    describe,
    not_compared,
)
from ml.validation.histogram import Distribution
from ml.validation.statistics_file import read_statistics

log = logging.getLogger(__name__)

NO_BASELINE = "there is no baseline: no production version was trained by this pipeline yet"
NOT_IN_STATISTICS = (
    "the statistics of at least one of the days do not have it; a feature that production was not trained on "
    "belongs under drift.ignored until a model with it serves"
)
NOT_COUNTED = (
    "it is text whose values are not counted; make it a categorical feature, list its values in schema.pbtxt "
    "or take its threshold away"
)


@dataclass(frozen=True)
class DayStatistics:
    """The statistics of one landed day.

    Attributes:
        folder: where they are.
        rows: how many examples the day has.
        features: by name.
    """

    folder: Path
    rows: int
    features: dict[str, statistics_pb2.FeatureNameStatistics]

    @classmethod
    def read(cls, folder: Path) -> DayStatistics:
        """Read an artifact of `ml.validation.statistics.compute_statistics`."""
        dataset = read_statistics(folder).datasets[0]
        features = {feature.path.step[0]: feature for feature in dataset.features}
        return cls(folder, int(dataset.num_examples), features)


def measure_drift(pipeline: Pipeline, statistics: Path, baseline: Sequence[Path], draft: Draft) -> None:
    """Write ``drift_report.json``: how far a day lies from what production was trained on.

    Args:
        pipeline: the settings; thresholds, bins and ignored features.
        statistics: the day's statistics.
        baseline: the statistics of each day that production was trained on; none without production.
        draft: the artifact to fill.
    """
    days = [DayStatistics.read(folder) for folder in baseline]
    report = compare_days(pipeline, DayStatistics.read(statistics), days)
    _log_in_words(report)
    draft.write_json(report)
    draft.facts.update(drifted=report["drifted"], undecided=report["undecided"])


def compare_days(pipeline: Pipeline, today: DayStatistics, baseline: Sequence[DayStatistics]) -> DriftReport:
    """Hold every feature that has a threshold against the baseline."""
    schema = pipeline.read_schema()
    features: list[FeatureDrift] = []
    for name, threshold in sorted(pipeline.drift.thresholds.items()) if baseline else ():
        kind = kind_of(pipeline, schema, name)
        question = Question(
            feature=name,
            kind=kind or "categorical",
            threshold_bits=threshold,
            rows=today.rows,
            baseline_rows=sum(day.rows for day in baseline),
        )
        entry = _compare(pipeline, question, today, baseline) if kind else not_compared(question, NOT_COUNTED)
        features.append(entry)
    return DriftReport(
        baseline={"days": len(baseline), "rows": sum(day.rows for day in baseline)},
        rows=today.rows,
        reason=None if baseline else NO_BASELINE,
        features=features,
        drifted=[entry["feature"] for entry in features if entry["drifted"]],
        undecided=[entry["feature"] for entry in features if entry["drifted"] is None],
        ignored=sorted(pipeline.drift.ignored),
    )


def _compare(
    pipeline: Pipeline, question: Question, today: DayStatistics, baseline: Sequence[DayStatistics]
) -> FeatureDrift:
    if not question["rows"] or not question["baseline_rows"]:
        return not_compared(question, "one side has no rows")
    cells = cells_of(pipeline, question["feature"], question["kind"], (today, *baseline))
    if cells is None:
        return not_compared(question, NOT_IN_STATISTICS)
    return compared(question, cells, pipeline.drift.min_rows)


def kind_of(pipeline: Pipeline, schema: Schema, field: str) -> Kind | None:
    """How a field of the schema is compared; None for text that is not counted: its values are not known."""
    if field in schema.counted_fields(pipeline.features.categorical):
        return "categorical"
    return "numeric" if schema.columns[field] != "string" else None


def cells_of(pipeline: Pipeline, feature: str, kind: Kind, days: Sequence[DayStatistics]) -> Cells | None:
    """Cut a feature of the first day and of all others together into cells; None if a day lacks it."""
    if kind == "categorical":
        return _cells_by_value(feature, days)
    return _cells_by_interval(feature, days, pipeline.drift.bins)


def _cells_by_value(feature: str, days: Sequence[DayStatistics]) -> Cells | None:
    tables = [read_counts(day.folder, feature) for day in days]
    if any(table is None for table in tables):
        return None
    return categorical_cells(tables[0], tables[1:])


def _cells_by_interval(feature: str, days: Sequence[DayStatistics], bins: int) -> Cells | None:
    if any(feature not in day.features for day in days):
        return None
    numbers = [Distribution.of(day.features[feature]) for day in days]
    rows = days[0].rows, sum(day.rows for day in days[1:])
    return numeric_cells(numbers[0], numbers[1:], rows, bins)


def _log_in_words(report: DriftReport) -> None:
    if report["reason"]:
        log.info("drift was not measured: %s", report["reason"])
        return
    log.info(
        "compared %d features of %s rows with %s rows of %d days that production was trained on: "
        "%d drifted, %d cannot be told",
        len(report["features"]),
        f"{report['rows']:,}",
        f"{report['baseline']['rows']:,}",
        report["baseline"]["days"],
        len(report["drifted"]),
        len(report["undecided"]),
    )
    for entry in report["features"]:
        if entry["drifted"] is not False:
            log.warning("%s", describe(entry))
