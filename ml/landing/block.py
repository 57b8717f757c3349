"""A batch of records as it came from the topic, out of the client library's hands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from confluent_kafka import Message


@dataclass(frozen=True)
class Block:
    """Consecutive records of one partition.

    Attributes:
        partition: where they lie.
        offsets: int64, one a record, rising.
        timestamps: int64, when each was produced (milliseconds since the epoch; the broker's word).
        values: the bytes, or None for a tombstone.
    """

    partition: int
    offsets: np.ndarray[Any, np.dtype[np.int64]]
    timestamps: np.ndarray[Any, np.dtype[np.int64]]
    values: list[bytes | None]

    @classmethod
    def of(cls, partition: int, records: Sequence[Message]) -> Block:
        """Take what is needed out of the client library's messages."""
        count = len(records)
        return cls(
            partition,
            np.fromiter(map(Message.offset, records), np.int64, count),
            np.fromiter(map(itemgetter(1), map(Message.timestamp, records)), np.int64, count),
            list(map(Message.value, records)),
        )

    @property
    def end(self) -> int:
        """The offset after the last record."""
        return int(self.offsets[-1]) + 1

    def before(self, end: int) -> Block:
        """The records before an offset."""
        count = int(np.searchsorted(self.offsets, end))
        return Block(self.partition, self.offsets[:count], self.timestamps[:count], self.values[:count])

    def __len__(self) -> int:
        return len(self.values)
