"""Landed days for tests, and statistics of them that are made without TFDV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tensorflow_metadata.proto.v0 import statistics_pb2

from ml.validation.counts import write_counts
from ml.validation.statistics_file import STATISTICS

QUANTILES = statistics_pb2.Histogram.QUANTILES


def clicks(rows: int, seed: int = 1) -> pa.Table:
    """A day of the clicks pipeline that keeps to its schema."""
    draw = np.random.default_rng(seed)

    def names(prefix: str, numbers: np.ndarray) -> pa.Array:
        return pa.array(np.char.add(prefix, numbers.astype(str)))

    def some_of(*values: str) -> pa.Array:
        return pa.array(np.array(values)[draw.integers(0, len(values), rows)])

    def zipf(size: int) -> np.ndarray:
        shares = 1 / np.arange(1, size + 1)
        return draw.choice(size, rows, p=shares / shares.sum())

    return pa.table(
        {
            "event_id": names("e", np.arange(rows)),
            "event_time": pa.array(1_700_000_000_000 + np.arange(rows)),
            "user_id": names("u", draw.integers(0, 20 * rows, rows)),
            "item_id": names("i", zipf(5000)),
            "session_id": names("s", np.arange(rows) // 4),
            "category": names("c", zipf(30)),
            "brand": names("b", zipf(200)),
            "device": some_of("mobile", "mobile", "mobile", "desktop", "tablet"),
            "os": some_of("android", "ios", "windows", "macos", "linux"),
            "country": some_of("DE", "FR", "US"),
            "hour": pa.array(draw.integers(0, 24, rows)),
            "price": pa.array(np.exp(draw.normal(3, 1, rows))),
            "age": pa.array(draw.integers(18, 80, rows), mask=draw.random(rows) < 0.1),
            "quantity": pa.array(draw.geometric(0.7, rows)),
            "user_clicks": pa.array(draw.poisson(3, rows)),
            "user_views": pa.array(draw.poisson(40, rows)),
            "item_ctr": pa.array(draw.beta(2, 20, rows)),
            "position": pa.array(draw.integers(1, 21, rows)),
            "user_type": some_of("new", "returning"),
            "clicked": pa.array((draw.random(rows) < 0.1).astype(np.int64)),
            "_partition": pa.array((np.arange(rows) % 3).astype(np.int32)),
            "_offset": pa.array(1000 + np.arange(rows) // 3),
        }
    )


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    """The same table with one column replaced."""
    return table.set_column(
        table.schema.get_field_index(name), name, values if isinstance(values, pa.Array) else pa.array(values)
    )


def land(folder: Path, table: pa.Table, parts: int = 1) -> Path:
    """Write a table as a landed day."""
    folder.mkdir(parents=True)
    size = -(-len(table) // parts)
    for part in range(parts):
        pq.write_table(table.slice(part * size, size), folder / f"part-{part:05}.parquet")
    return folder


def quantile_histogram(values: Sequence[float] | np.ndarray, buckets: int = 100) -> statistics_pb2.Histogram:
    """What TFDV makes of numbers: buckets of equal depth, with points where a value repeats."""
    ascending = np.sort(np.asarray(values, np.float64))
    histogram = statistics_pb2.Histogram(type=QUANTILES)
    if not len(ascending):
        return histogram
    ends = np.quantile(ascending, np.linspace(0, 1, buckets + 1), method="inverted_cdf")
    low, high = ends[:-1], ends[1:]
    known = np.searchsorted(ascending, high, side="right").astype(np.float64)
    for end in np.unique(high):
        same = np.flatnonzero(high == end)
        before = known[same[0] - 1] if same[0] else 0.0
        for at in same:
            count = (known[at] - before) / len(same)
            histogram.buckets.add(low_value=low[at], high_value=high[at], sample_count=count)
    return histogram


def write_statistics(
    folder: Path, rows: int, numbers: Mapping[str, Any] | None = None, values: Mapping[str, Any] | None = None
) -> Path:
    """Write statistics as `compute_statistics` does, of a few fields only.

    Args:
        folder: is created.
        rows: of the day.
        numbers: field → its numbers without the missing ones.
        values: field → value → count; None stands for a missing value.
    """
    folder.mkdir(parents=True)
    dataset = statistics_pb2.DatasetFeatureStatistics(num_examples=rows)
    for name, present in (numbers or {}).items():
        feature = dataset.features.add()
        feature.path.step.append(name)
        feature.num_stats.histograms.append(quantile_histogram(present))
    content = statistics_pb2.DatasetFeatureStatisticsList(datasets=[dataset])
    (folder / STATISTICS).write_bytes(content.SerializeToString())
    tables = {
        name: pa.table({"value": pa.array(list(counts), pa.string()), "count": list(counts.values())})
        for name, counts in (values or {}).items()
    }
    write_counts(tables, folder / "counts.parquet")
    return folder
