"""The offset manifest: which offsets of each partition a window is landed from, fixed before reading."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ml.artifact import Window
from ml.config import Landing

OFFSETS_FILE = "offsets.json"
MINUTE_MS = 60_000


def settled_ms(landing: Landing, window: Window) -> int:
    """The first moment, in milliseconds since the epoch, at which a record comes too late for a window."""
    return window.end_ms + landing.settle_minutes * MINUTE_MS


@dataclass(frozen=True)
class OffsetRange:
    """What is read of one partition.

    Attributes:
        partition: its number.
        start: the first offset read.
        end: the offset to stop before.
        low: the lowest offset that the topic still had.
        high: the partition's end: the offset after its last record.
        first_timestamp: when the first record still there was produced (milliseconds since the epoch);
            None if nothing had been deleted or nothing was left.
    """

    partition: int
    start: int
    end: int
    low: int
    high: int
    first_timestamp: int | None


@dataclass(frozen=True)
class OffsetManifest:
    """The ranges of all partitions of a topic, in the order of partitions."""

    topic: str
    ranges: tuple[OffsetRange, ...]

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read the manifest from its artifact's directory."""
        content = json.loads((directory / OFFSETS_FILE).read_bytes())
        return cls(content["topic"], tuple(OffsetRange(**one) for one in content["partitions"]))

    @property
    def record_count(self) -> int:
        """Offsets in all ranges; a few of them may belong to no record."""
        return sum(one.end - one.start for one in self.ranges)

    def as_json(self, landing: Landing, window: Window) -> dict[str, Any]:
        """What ``offsets.json`` holds."""
        return {
            "topic": self.topic,
            "seek": landing.seek,
            "window": window.as_json(),
            "retention": "complete",
            "partitions": [asdict(one) for one in self.ranges],
        }
