"""Reading the rows that are trained on, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml.errors import Misconfigured

BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class TrainingRows:
    """Which columns and rows of landed examples are trained on.

    Attributes:
        features: names of the features' columns.
        label: the label's column.
        event_time: the column with the event's time in milliseconds since the epoch.
        before_ms: rows with an earlier event time are trained on; the others are held out.
    """

    features: tuple[str, ...]
    label: str
    event_time: str
    before_ms: int

    @property
    def columns(self) -> list[str]:
        """Every column that is read."""
        return list(dict.fromkeys([*self.features, self.label, self.event_time]))

    def check(self, path: Path) -> None:
        """Refuse a file that lacks a column.

        Raises:
            Misconfigured: naming the file and the columns.
        """
        found = pq.read_schema(path).names
        if missing := sorted(set(self.columns) - set(found)):
            raise Misconfigured(
                f"{path} has no column {', '.join(missing)}; it has {', '.join(found)}. The day was landed "
                "with another schema: land it again, or take the feature out of pipeline.yaml."
            )

    def blocks(self, path: Path, row_group: int) -> Iterator[pa.RecordBatch]:
        """The rows of one row group in blocks of at most `BLOCK_ROWS`.

        Texts stay the dictionaries that Parquet has made of them, which the encoding would make again.
        """
        with pq.ParquetFile(path, read_dictionary=list(self.features)) as file:
            for block in file.iter_batches(BLOCK_ROWS, row_groups=[row_group], columns=self.columns):
                event_time = block.column(block.schema.names.index(self.event_time))
                yield block.filter(pc.less(event_time, self.before_ms))
