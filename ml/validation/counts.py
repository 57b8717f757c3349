"""Exact counts of the values of categorical fields: ``counts.parquet``.

TFDV's in-memory statistics find the most frequent values with a sketch, which misses most of the true
ones where there are very many values. Arrow counts exactly and no slower, at the price of memory for
each distinct value.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

COUNTS = "counts.parquet"
PENDING_ROWS = 1 << 20
COUNTS_SCHEMA = pa.schema([("feature", pa.string()), ("value", pa.string()), ("count", pa.int64())])


class ValueCounter:
    """Counts the values of one field, batch by batch."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._pending = 0

    def add(self, values: pa.Array) -> None:
        """Count the values of one batch; null is a value of its own."""
        counted = values.value_counts()
        table = pa.table({"value": counted.field("values"), "count": counted.field("counts")})
        self._tables.append(table)
        self._pending += len(table)
        if self._pending > max(PENDING_ROWS, 2 * len(self._tables[0])):
            self._merge()

    def table(self) -> pa.Table:
        """Columns ``value`` (string; null: missing) and ``count``, the most frequent value first."""
        self._merge()
        values = self._tables[0]["value"].cast(pa.string())
        table = pa.table({"value": values, "count": self._tables[0]["count"]})
        return table.sort_by([("count", "descending"), ("value", "ascending")])

    def _merge(self) -> None:
        if not self._tables:
            self._tables = [pa.table({"value": pa.array([], pa.string()), "count": pa.array([], pa.int64())})]
        merged = pa.concat_tables(self._tables).group_by("value").aggregate([("count", "sum")])
        self._tables = [pa.table({"value": merged["value"], "count": merged["count_sum"]})]
        self._pending = 0


def write_counts(counts: Mapping[str, pa.Table], path: Path) -> None:
    """Write ``counts.parquet`` with columns feature, value and count; a feature's rows lie together."""
    with pq.ParquetWriter(path, COUNTS_SCHEMA, compression="zstd") as writer:
        for name, table in counts.items():
            feature = pa.array([name] * len(table), pa.string())
            writer.write_table(pa.table([feature, *table.columns], schema=COUNTS_SCHEMA))


def read_counts(statistics: Path, field: str) -> pa.Table | None:
    """The ``value`` and ``count`` of one field, or None if the field was not counted."""
    table = pq.read_table(statistics / COUNTS, filters=[("feature", "=", field)])
    return table.select(["value", "count"]) if len(table) else None


def present_values(counts: pa.Table) -> pa.Table:
    """The same counts without the row of the missing values."""
    return counts.filter(pc.is_valid(counts["value"]))
