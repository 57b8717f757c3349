"""Reading a landed day in batches, so that memory does not grow with the day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PARTITION, OFFSET = "_partition", "_offset"
BATCH_ROWS = 1 << 17


def part_files(examples: Path) -> list[Path]:
    """The Parquet files of a landed day, in order."""
    return sorted(examples.glob("part-*.parquet"))


def count_rows(examples: Path) -> int:
    """How many examples the files hold, from their footers."""
    return sum(pq.read_metadata(path).num_rows for path in part_files(examples))


def field_names(examples: Path) -> list[str]:
    """The fields of the examples, without the columns that say where a record came from."""
    names = [name for path in part_files(examples)[:1] for name in pq.read_schema(path).names]
    return [name for name in names if name not in (PARTITION, OFFSET)]


def read_batches(examples: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Record batches of some columns, in the order of the files."""
    for path in part_files(examples):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS, columns=list(columns))
