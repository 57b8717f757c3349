"""Rows that repeat an earlier one, found and dropped in memory that does not grow with the day.

Which of two rows is kept follows from their places alone: the first by partition and offset, the order in
which examples are written. Values go to buckets on disk by their checksum and are compared bucket by
bucket, in full, so two different values are never taken for one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.landing.files import ExampleFiles

BUCKETS = 32
SPOOLED = pa.schema([("value", pa.binary()), ("row", pa.int64())])

Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


def drop_repeats(path: Path, field: str) -> int:
    """Write the examples anew without rows whose ``field`` an earlier row has; null repeats nothing.

    Args:
        path: the directory of the examples; gets and loses directories of its own meanwhile.
        field: the column.

    Returns:
        How many rows were dropped. If none was, the files stay as they are.
    """
    spool = path / "repeats"
    spool.mkdir()
    total = _spool(path, field, spool)
    repeated = np.zeros(total, bool)
    for bucket in sorted(spool.iterdir()):
        repeated[_repeats_in(bucket)] = True
    shutil.rmtree(spool)
    if repeated.any():
        _rewrite(path, repeated)
    return int(repeated.sum())


def _spool(path: Path, field: str, spool: Path) -> int:
    """Put every value with the number of its row into its bucket; return the number of rows."""
    row = 0
    with ExitStack() as files:
        buckets = [
            files.enter_context(pa.ipc.new_stream(str(spool / f"{number:02d}"), SPOOLED))
            for number in range(BUCKETS)
        ]
        for table in _groups(path, [field]):
            rows = np.arange(row, row + table.num_rows)
            row += table.num_rows
            for bucket, part in _by_bucket(table[field].combine_chunks(), rows):
                buckets[bucket].write_table(part)
    return row


def _by_bucket(values: pa.Array, rows: Rows) -> Iterator[tuple[int, pa.Table]]:
    known = values.is_valid()
    values, rows = values.filter(known).cast(pa.string()).cast(pa.binary()), rows[known.to_numpy(False)]
    buckets = np.fromiter((crc32(value) % BUCKETS for value in values.to_pylist()), np.int64, len(values))
    order = np.argsort(buckets, kind="stable")
    table = pa.table([values.take(pa.array(order)), pa.array(rows[order])], SPOOLED)
    bounds = np.searchsorted(buckets[order], np.arange(BUCKETS + 1))
    for bucket, (start, end) in enumerate(pairwise(bounds)):
        yield bucket, table.slice(start, end - start)


def _repeats_in(bucket: Path) -> Rows:
    """The rows of a bucket, which rise, that have the value of one before them."""
    with pa.ipc.open_stream(str(bucket)) as stream:
        table = stream.read_all().combine_chunks()
    if not table.num_rows:
        return np.zeros(0, np.int64)
    codes = table["value"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, firsts = np.unique(codes, return_index=True)
    return np.delete(table["row"].to_numpy(), firsts)


def _rewrite(path: Path, repeated: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
    unique = path / "unique"
    unique.mkdir()
    row = 0
    with ExampleFiles(unique, pq.read_schema(_parts(path)[0])) as files:
        for table in _groups(path):
            dropped = repeated[row : row + table.num_rows]
            row += table.num_rows
            files.write(table.filter(pa.array(~dropped)))
    for part in _parts(path):
        part.unlink()
    for part in _parts(unique):
        part.rename(path / part.name)
    unique.rmdir()


def _groups(path: Path, columns: list[str] | None = None) -> Iterator[pa.Table]:
    for part in _parts(path):
        with pq.ParquetFile(part) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns)


def _parts(path: Path) -> list[Path]:
    return sorted(path.glob("part-*.parquet"))
