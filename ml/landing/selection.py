"""Which records of a scanned range are a window's examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa

from ml.artifact import Window
from ml.config import Pipeline
from ml.decisions import Decision
from ml.landing.block import Block
from ml.landing.late import EarlierDays
from ml.landing.parsing import Parsed, Parser
from ml.landing.ranges import produced_ms, settled_ms
from ml.landing.tally import Tally

PARTITION = pa.field("_partition", pa.int32(), nullable=False)
OFFSET = pa.field("_offset", pa.int64(), nullable=False)
REJECTS = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", pa.int64()),
        ("reason", pa.string()),
        ("value", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Landed:
    """What a block brought.

    Attributes:
        examples: the schema's columns, then ``_partition`` and ``_offset``.
        rejects: as `REJECTS`.
        tally: the counts.
    """

    examples: pa.Table
    rejects: pa.Table
    tally: Tally


@dataclass(frozen=True)
class Selection:
    """Parses blocks and keeps what belongs to one window.

    Each record is judged by itself, so the outcome depends neither on how the records were fetched nor on
    where the scan began. An example belongs to the window that its own event time lies in; if the broker
    had it only at ``settled_ms`` or later, it is late. One that was produced before ``produced_ms``, long
    before its own event, has a clock that cannot be believed: it is outside, whether or not the scan met it.
    A reject has no event time to trust and belongs to the window that it was produced in. Whatever belongs
    to no or another window is outside.

    Attributes:
        parser: for the pipeline's schema.
        event_time: the field with the event's time.
        start_ms: first millisecond of the window.
        end_ms: first millisecond after the window.
        produced_ms: first millisecond at which a record of the window can have been produced.
        settled_ms: first millisecond at which a record comes too late; None if none does.
        earlier: the days whose late events are counted in passing; None if none are.
    """

    parser: Parser
    event_time: str
    start_ms: int
    end_ms: int
    produced_ms: int
    settled_ms: int | None
    earlier: EarlierDays | None = None

    @classmethod
    def of(
        cls, pipeline: Pipeline, window: Window, decision: Decision, earlier: EarlierDays | None = None
    ) -> Self:
        """The selection of a window as the settings want it; if it is refreshed, with its late events."""
        landing = pipeline.landing
        parser = Parser(pipeline.read_schema().columns, landing.event_time)
        settled = None if decision.refresh else settled_ms(landing, window)
        produced = produced_ms(landing, window)
        return cls(parser, landing.event_time, window.start_ms, window.end_ms, produced, settled, earlier)

    @property
    def schema(self) -> pa.Schema:
        """The columns of the examples."""
        return self.parser.schema.append(PARTITION).append(OFFSET)

    def land(self, block: Block) -> Landed:
        """Parse a block, keep the window's examples and rejects, and count everything."""
        parsed = self.parser.parse(block.values)
        times = parsed.table[self.event_time].to_numpy()
        produced = block.timestamps[parsed.rows]
        mine = (self.start_ms <= times) & (times < self.end_ms) & (self.produced_ms <= produced)
        late = mine & self._comes_too_late(produced)
        accepted = np.flatnonzero(mine & ~late)
        examples = self._examples(block, parsed, accepted)
        rejects = self._rejects(block, parsed.rejects)
        tally = Tally.of_block(len(block), times, times[accepted], int(late.sum()))
        tally.count_rejects(rejects)
        tally.count_unknown(parsed.unknown, accepted)
        if self.earlier:
            tally.earlier = self.earlier.count(block.partition, block.offsets[parsed.rows], times)
        return Landed(examples, rejects, tally)

    def _comes_too_late(self, timestamps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if self.settled_ms is None:
            return np.zeros(timestamps.size, bool)
        return timestamps >= self.settled_ms

    def _examples(self, block: Block, parsed: Parsed, accepted: np.ndarray[Any, Any]) -> pa.Table:
        everything = len(accepted) == parsed.table.num_rows
        table = parsed.table if everything else parsed.table.take(accepted)
        partitions = np.full(len(accepted), block.partition, np.int32)
        offsets = block.offsets[parsed.rows[accepted]]
        columns = [*table.columns, pa.array(partitions), pa.array(offsets)]
        return pa.table(columns, schema=self.schema)

    def _rejects(self, block: Block, reasons: dict[int, str]) -> pa.Table:
        mine = [at for at in reasons if self.start_ms <= block.timestamps[at] < self.end_ms]
        columns = [
            [block.partition] * len(mine),
            block.offsets[mine],
            block.timestamps[mine],
            [reasons[at] for at in mine],
            [block.values[at] for at in mine],
        ]
        return pa.table([pa.array(c, t) for c, t in zip(columns, REJECTS.types, strict=True)], REJECTS)
