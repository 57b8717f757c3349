"""The held-out rows of a day, read and scored in batches."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from ml.artifact import Window
from ml.config import Pipeline
from ml.errors import DataRejected, Misconfigured
from ml.evaluation.ranking import Labels
from ml.evaluation.report import Scored
from ml.evaluation.slices import partition, slice_columns

BATCH_ROWS = 16_384
PROGRESS_SECONDS = 5.0

Scorer = Callable[[pa.RecordBatch], NDArray[np.float32]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holdout:
    """The held-out rows of one day's examples.

    Attributes:
        examples: directory of the day's Parquet parts.
        window: rows with their event time in it are held out.
        features: what the models read; production may read other features than the pipeline names by now.
    """

    pipeline: Pipeline
    examples: Path
    window: Window
    features: frozenset[str]

    def count(self) -> int:
        """How many rows are held out."""
        return int(self._dataset().count_rows(filter=self._inside()))

    def no_rows(self) -> pa.Table:
        """The same columns without a row."""
        return self._dataset().schema.empty_table().select(self._columns())

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in the order that they were landed in, `BATCH_ROWS` or fewer at a time."""
        batches = self._dataset().to_batches(
            columns=self._columns(), filter=self._inside(), batch_size=BATCH_ROWS
        )
        yield from (batch for batch in batches if batch.num_rows)

    def _dataset(self) -> ds.Dataset:
        return ds.dataset(sorted(self.examples.glob("part-*.parquet")), format="parquet")

    def _inside(self) -> ds.Expression:
        event_time = ds.field(self.pipeline.landing.event_time)
        return (event_time >= self.window.start_ms) & (event_time < self.window.end_ms)

    def _columns(self) -> list[str]:
        pipeline, landed = self.pipeline, self._dataset().schema.names
        needed = {pipeline.label, *self.features, *slice_columns(pipeline.slices)}
        if missing := sorted(needed.difference(landed)):
            raise Misconfigured(
                f"the examples have no column {', '.join(missing)}; they have {', '.join(landed)}. They were "
                "landed with another schema. Land the day again; a field that production still reads has to "
                "stay in schema.pbtxt until a model without it is in production."
            )
        return sorted(needed)


def score_holdout(holdout: Holdout, scorers: Mapping[str, Scorer]) -> Scored:
    """Give every held-out row the score of each model, in bounded memory but for the scores themselves.

    Args:
        holdout: the rows.
        scorers: under ``candidate`` and, if there is a production version, ``production``.

    Raises:
        DataRejected: if a label is neither 0 nor 1.
        Misconfigured: if the examples lack a column.
    """
    label, slices = holdout.pipeline.label, holdout.pipeline.slices
    labels = [np.zeros(0, bool)]
    columns = [_encoded(holdout.no_rows(), slice_columns(slices))]
    scores = {model: [np.zeros(0, np.float32)] for model in scorers}
    for batch in _with_progress(holdout.batches(), holdout.count()):
        labels.append(_labels(batch, label))
        columns.append(_encoded(batch, slice_columns(slices)))
        for model, scorer in scorers.items():
            scores[model].append(np.asarray(scorer(batch), np.float32))
    whole = {model: np.concatenate(parts) for model, parts in scores.items()}
    return Scored(
        labels=np.concatenate(labels),
        candidate=whole["candidate"],
        production=whole.get("production"),
        partitions=partition(slices, pa.concat_tables(columns)),
    )


def _labels(batch: pa.RecordBatch, name: str) -> Labels:
    values = batch.column(batch.schema.get_field_index(name)).to_numpy(zero_copy_only=False)
    if strange := sorted({str(value) for value in np.unique(values[(values != 0) & (values != 1)])}):
        raise DataRejected(
            f"the label {name!r} was expected to be 0 or 1 in every held-out row, and is "
            f"{', '.join(strange[:5])} in some. Bound it in schema.pbtxt (presence and int_domain), so that "
            "validation stops such a day."
        )
    return np.asarray(values, dtype=bool)


def _encoded(rows: pa.RecordBatch | pa.Table, names: list[str]) -> pa.Table:
    return pa.table(
        {name: rows.column(rows.schema.get_field_index(name)).dictionary_encode() for name in names}
    )


def _with_progress(batches: Iterable[pa.RecordBatch], total: int) -> Iterator[pa.RecordBatch]:
    done, started = 0, time.monotonic()
    reported = started
    for batch in batches:
        yield batch
        done, now = done + len(batch), time.monotonic()
        if now - reported >= PROGRESS_SECONDS:
            reported = now
            log.info("scored %d of %d held-out rows, %.0f rows/s", done, total, done / (now - started))
