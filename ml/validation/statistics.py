"""The statistics of a landed day, and the page that shows them."""

from __future__ import annotations

import html
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ml.config import Pipeline
from ml.store import Draft
from ml.validation.counts import COUNTS, write_counts
from ml.validation.examples import count_rows, field_names, read_batches
from ml.validation.progress import Progress
from ml.validation.statistics_file import STATISTICS

if TYPE_CHECKING:
    from ml.validation.collector import Description

log = logging.getLogger(__name__)

PAGE = "statistics.html"


def compute_statistics(pipeline: Pipeline, examples: Path, draft: Draft) -> None:
    """Write ``statistics.pb``, ``statistics.html`` and ``counts.parquet`` of a landed day.

    Args:
        pipeline: the settings; its categorical features are counted exactly.
        examples: the directory of the landed day.
        draft: the artifact to fill.
    """
    started = time.monotonic()
    description = describe_examples(pipeline, examples)
    dataset = description.statistics.datasets[0]
    dataset.name = f"{pipeline.name} examples"
    (draft.path / STATISTICS).write_bytes(description.statistics.SerializeToString(deterministic=True))
    (draft.path / PAGE).write_text(_page(pipeline, description))
    write_counts(description.counts, draft.path / COUNTS)
    draft.facts.update(rows=description.rows, fields=len(dataset.features))
    draft.measurements["rows_per_second"] = round(description.rows / (time.monotonic() - started))


def describe_examples(pipeline: Pipeline, examples: Path) -> Description:
    """Compute the statistics of a landed day in one pass."""
    from ml.validation.collector import Collector

    schema = pipeline.read_schema()
    names = field_names(examples)
    counted = schema.counted_fields(pipeline.features.categorical)
    collector = Collector(schema, [name for name in counted if name in names])
    progress = Progress(log, "described", count_rows(examples))
    for batch in read_batches(examples, names):
        collector.add(batch)
        progress.add(batch.num_rows)
    progress.finish()
    return collector.describe()


def _page(pipeline: Pipeline, description: Description) -> str:
    """TFDV's Facets view below a line that says which numbers are exact."""
    from ml.validation import tfdv

    exact, estimated = ", ".join(description.counts), ", ".join(description.estimated)
    note = (
        f"{description.rows:,} examples of {pipeline.name}. Values, ranks and numbers of distinct values of "
        f"{exact} are exact counts. Numbers of distinct values of {estimated or 'no other field'} are "
        f"estimates, and their frequent values are not listed. Quantiles of numbers are within 0.1 % of the "
        f"rows. The view needs the network: its scripts are loaded by the browser."
    )
    head = '<!doctype html><meta charset="utf-8"><title>Statistics</title>'
    return f"{head}<p>{html.escape(note)}</p>{tfdv.get_statistics_html(description.statistics)}"
