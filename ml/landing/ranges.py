"""The offset manifest: which offsets of each partition a window is landed from, fixed before reading."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from ml.artifact import Window
from ml.config import Landing
from ml.decisions import Decision
from ml.manifest import MEASURED

# Measured, not made: another scan of the same window ends elsewhere, for the topic has grown by then.
OFFSETS_FILE = f"{MEASURED}offsets.json"
MINUTE_MS = 60_000


def produced_ms(landing: Landing, window: Window) -> int:
    """The first moment, in milliseconds since the epoch, at which a record of a window can be produced."""
    return window.start_ms - landing.slack_minutes * MINUTE_MS


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
    """The ranges of all partitions of a topic, in the order of partitions.

    Attributes:
        topic: its name.
        ranges: what is read of each.
        decision: what a person decided about them.
        gap: what is missing of the window, as JSON; empty if it is whole.
    """

    topic: str
    ranges: tuple[OffsetRange, ...]
    decision: Decision = field(default_factory=Decision)
    gap: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read the manifest from its artifact's directory."""
        content = json.loads((directory / OFFSETS_FILE).read_bytes())
        ranges = tuple(OffsetRange(**one) for one in content["partitions"])
        decision = Decision(**content.get("decision", {}))
        return cls(content["topic"], ranges, decision, content.get("gap", {}))

    @property
    def record_count(self) -> int:
        """Offsets in all ranges; a few of them may belong to no record."""
        return sum(one.end - one.start for one in self.ranges)

    def as_json(self, landing: Landing, window: Window) -> dict[str, Any]:
        """What ``offsets.json`` holds. ``decision`` and ``gap`` are there only if there are any."""
        exceptions = {"decision": self.decision.as_json(), "gap": self.gap}
        return {
            "topic": self.topic,
            "seek": landing.seek,
            "window": window.as_json(),
            "retention": "accepted gap" if self.gap else "complete",
            "partitions": [asdict(one) for one in self.ranges],
            **{name: value for name, value in exceptions.items() if value},
        }
