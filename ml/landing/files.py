"""Tables into Parquet files whose bytes depend on the rows alone, not on how they came in pieces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

EXAMPLES_GROUP_ROWS = 65_536
EXAMPLES_FILE_GROUPS = 16
DICTIONARY_BYTES = 64 * 1024  # identifiers outgrow it soon; at Parquet's 1 MiB they cost time, and space too


class ParquetFiles:
    """A growing table, written as zstd Parquet inside a ``with`` block.

    Rows are held until a row group is full, so every group and every file but the last is full. There is
    always at least one file, if need be without rows.

    Args:
        name: the path of the n-th file.
        schema: of the table.
        group_rows: rows in a full row group.
        file_groups: row groups in a full file; None if there is to be one file only.
    """

    def __init__(
        self, name: Callable[[int], Path], schema: pa.Schema, group_rows: int, file_groups: int | None = None
    ) -> None:
        self._name = name
        self._schema = schema
        self._group_rows = group_rows
        self._file_groups = file_groups
        self._held: list[pa.Table] = []
        self._held_rows = 0
        self._files = 0

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._held_rows:
            self._write_group(pa.concat_tables(self._held))
        self._writer.close()

    def write(self, table: pa.Table) -> None:
        """Append rows."""
        self._held.append(table)
        self._held_rows += table.num_rows
        if self._held_rows < self._group_rows:
            return
        rows = pa.concat_tables(self._held)
        while rows.num_rows >= self._group_rows:
            self._write_group(rows.slice(0, self._group_rows))
            rows = rows.slice(self._group_rows)
        self._held, self._held_rows = [rows], rows.num_rows

    def _open(self) -> None:
        self._writer = pq.ParquetWriter(
            self._name(self._files),
            self._schema,
            compression="zstd",
            dictionary_pagesize_limit=DICTIONARY_BYTES,
        )
        self._files += 1
        self._groups = 0

    def _write_group(self, rows: pa.Table) -> None:
        if self._groups == self._file_groups:
            self._writer.close()
            self._open()
        self._writer.write_table(rows.combine_chunks(), row_group_size=self._group_rows)
        self._groups += 1


class ExampleFiles(ParquetFiles):
    """The examples of a window: ``part-00000.parquet`` and so on.

    Args:
        path: the directory.
        schema: of the examples.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        super().__init__(
            lambda number: path / f"part-{number:05d}.parquet",
            schema,
            EXAMPLES_GROUP_ROWS,
            EXAMPLES_FILE_GROUPS,
        )
