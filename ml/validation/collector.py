"""Gathering statistics batch by batch: TFDV's, exact counts, and sketches of distinct values.

TFDV's own way to the most frequent values is a Misra-Gries sketch of 1024 entries, which is wrong where
there are more values than that. It is not used: the most frequent values come from exact counts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from tensorflow_metadata.proto.v0 import statistics_pb2

from ml.schema import Schema, value_list
from ml.validation import tfdv
from ml.validation.counts import ValueCounter, present_values

QUANTILE_BUCKETS = 100
QUANTILE_ERROR = 0.001
DISTINCT_SKETCH_SIZE = 16384
TOP_VALUES = 20
RANKED_VALUES = 1000


@dataclass(frozen=True)
class Description:
    """What is known of some examples.

    Attributes:
        statistics: one dataset, with the exact counts entered.
        counts: field → its values and counts, see `ValueCounter.table`.
        estimated: text fields whose number of distinct values is an estimate.
    """

    statistics: statistics_pb2.DatasetFeatureStatisticsList
    counts: dict[str, pa.Table]
    estimated: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many examples were described."""
        return int(self.statistics.datasets[0].num_examples)


class Collector:
    """The statistics of examples that arrive in batches, in memory that does not grow with the rows.

    Args:
        schema: tells TFDV which fields hold values of a list.
        counted: the fields to count exactly; memory grows with their distinct values.
    """

    def __init__(self, schema: Schema, counted: Collection[str]) -> None:
        self._schema = schema
        self._generator = tfdv.BasicStatsGenerator(
            schema=schema.proto, num_quantiles_histogram_buckets=QUANTILE_BUCKETS, epsilon=QUANTILE_ERROR
        )
        self._partial = self._generator.create_accumulator()
        self._counters = {name: ValueCounter() for name in counted}
        self._sketches: dict[str, Any] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in one batch of flat columns."""
        self._partial = self._generator.add_input(self._partial, as_lists(batch))
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            if name in self._counters:
                self._counters[name].add(values)
            elif pa.types.is_string(values.type):
                sketch = self._sketches.setdefault(name, tfdv.KmvSketch(DISTINCT_SKETCH_SIZE))
                sketch.AddValues(values.drop_null())

    def describe(self) -> Description:
        """The statistics of all batches so far."""
        statistics = tfdv.extract_statistics_output([self._partial], [self._generator])
        counts = {name: counter.table() for name, counter in self._counters.items()}
        for feature in statistics.datasets[0].features:
            name = feature.path.step[0]
            if name in self._sketches:
                feature.string_stats.unique = self._sketches[name].Estimate()
            elif name in counts and feature.HasField("string_stats"):
                ranks = max(RANKED_VALUES, len(value_list(self._schema.proto, name)) + 1)
                enter_counts(feature.string_stats, counts[name], ranks)
        return Description(statistics, counts, tuple(self._sketches))


def as_lists(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows as TFDV wants them: every value a list of one, a missing value a null list."""
    columns = [_as_list(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def enter_counts(stats: statistics_pb2.StringStatistics, counts: pa.Table, ranks: int) -> None:
    """Enter exact counts into TFDV's statistics of a field.

    Args:
        stats: changed in place.
        counts: the field's values and counts, the most frequent first.
        ranks: how many values are listed. TFDV looks for values that the schema does not allow among
            these only. With one more than the schema allows, at least one of the others is among them
            if there is any.
    """
    present = present_values(counts)
    stats.unique = len(present)
    listed = present.slice(0, ranks).to_pydict()
    for rank, (value, count) in enumerate(zip(listed["value"], listed["count"], strict=True)):
        stats.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=value, sample_count=count)
        if rank < TOP_VALUES:
            stats.top_values.add(value=value, frequency=count)


def _as_list(values: pa.Array) -> pa.ListArray:
    present = np.asarray(values.is_valid())
    offsets = np.concatenate([[0], np.cumsum(present)]).astype(np.int32)
    missing = np.append(~present, False)
    return pa.ListArray.from_arrays(pa.array(offsets, mask=missing), values.drop_null())
