"""Planning a training: one pass over the rows fits the features and counts what there is."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.config import Pipeline
from ml.errors import DataRejected, NoRecords
from ml.features.fitting import Fitting
from ml.store import Draft
from ml.training.data import TrainingData
from ml.training.plan import Plan, RowGroup
from ml.training.rows import TrainingRows

log = logging.getLogger(__name__)


def make_plan(pipeline: Pipeline, data: TrainingData, draft: Draft) -> Plan:
    """Fit the features on the window's training rows and count them.

    Raises:
        NoRecords: if no row is left to train on.
        DataRejected: if the labels are not 0 and 1, are all the same, or a number is infinite to a model.
        Misconfigured: if a column is missing.
    """
    started = time.monotonic()
    rows = TrainingRows(
        pipeline.features.names, pipeline.label, pipeline.landing.event_time, data.holdout.start_ms
    )
    groups = list(_row_groups(data, rows))
    fitting = Fitting(pipeline.features, pipeline.read_schema().columns, sum(group.rows for group in groups))
    counted = [_fit(rows, group, fitting) for group in groups]
    _check_counts(counted, data)
    draft.measurements["fit_seconds"] = round(time.monotonic() - started, 3)
    plan = Plan(
        feature_spec=fitting.spec(),
        training=pipeline.training,
        label=pipeline.label,
        event_time=pipeline.landing.event_time,
        before_ms=data.holdout.start_ms,
        row_groups=tuple(counted),
        measured=draft.path / "measured",
        scratch=draft.path / "scratch",
    )
    log.info("fitted %d features on %d rows", len(pipeline.features.names), plan.examples)
    return plan


def _row_groups(data: TrainingData, rows: TrainingRows) -> Iterator[RowGroup]:
    """The row groups of all days, with the held-out rows still among theirs and nothing counted."""
    for day, directory in enumerate(data.days):
        for path in sorted(directory.glob("part-*.parquet")):
            rows.check(path)
            metadata = pq.read_metadata(path)
            for index in range(metadata.num_row_groups):
                size = metadata.row_group(index).num_rows
                yield RowGroup(path=path, index=index, day=day, rows=size, positives=0)


def _fit(rows: TrainingRows, group: RowGroup, fitting: Fitting) -> RowGroup:
    count = positives = 0
    for block in rows.blocks(group.path, group.index):
        fitting.add(block, str(group.path))
        count += block.num_rows
        positives += _positives(block.column(block.schema.names.index(rows.label)), rows.label, group.path)
    return group.model_copy(update={"rows": count, "positives": positives})


def _positives(labels: pa.Array, name: str, path: Path) -> int:
    values = np.asarray(labels.cast(pa.float64()).fill_null(np.nan))
    if wrong := int(np.count_nonzero((values != 0) & (values != 1))):
        raise DataRejected(
            f"{wrong} of {len(values)} rows of {path} have a {name!r} that is neither 0 nor 1; the label of "
            "every row must be one of them. Mend the log, or tighten the label's domain in schema.pbtxt "
            "so that validation stops such a day."
        )
    return int(values.sum())


def _check_counts(groups: list[RowGroup], data: TrainingData) -> None:
    examples = sum(group.rows for group in groups)
    positives = sum(group.positives for group in groups)
    if not examples:
        raise NoRecords(
            f"no row of {len(data.days)} days is older than {data.holdout.start.isoformat()}, where the "
            "held-out rows begin: there is nothing to train on. Lower training.holdout_fraction, or raise "
            "training.window_days."
        )
    if positives in (0, examples):
        raise DataRejected(
            f"all {examples} training rows have label {int(positives > 0)}; a model learns from both. Look "
            "at how the label is logged."
        )
