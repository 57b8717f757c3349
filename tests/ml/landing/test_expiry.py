from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ml.artifact import Window
from ml.config import Landing
from ml.errors import RetrainingError, Unavailable, WindowExpired
from ml.landing.block import Block
from ml.landing.expiry import read_ranges
from ml.landing.held_back import reach_held_back
from ml.landing.ranges import OffsetManifest, OffsetRange

WINDOW = Window.parse("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")
HOUR = 3_600_000
MANIFEST = OffsetManifest("clicks", (OffsetRange(0, 100, 900, 0, 1000, None),))


@dataclass
class RefusingTopic:
    """A topic that refuses to be read, and what it says when it is asked again.

    Attributes:
        low: the lowest offset that it has.
        high: its end.
        hours: when the record at ``low`` was produced, in hours after the window's start.
    """

    low: int
    high: int
    hours: float
    name: str = "clicks"

    def watermarks(self, partition: int) -> tuple[int, int]:  # noqa: ARG002
        return self.low, self.high

    def first_timestamp(self, partition: int, low: int) -> int:  # noqa: ARG002
        return int(WINDOW.start_ms + self.hours * HOUR)

    def read(self, partition: int, start: int, end: int) -> Iterator[Block]:  # noqa: ARG002
        if start < end:
            raise WindowExpired("refused")
        yield from ()


@dataclass
class HalfRefusingTopic(RefusingTopic):
    """One that still has all of partition 0."""

    def watermarks(self, partition: int) -> tuple[int, int]:
        return (0 if partition == 0 else self.low), self.high


@pytest.mark.parametrize(
    ("topic", "failure", "words"),
    [
        (
            RefusingTopic(500, 1000, 6),
            WindowExpired,
            "about 25% of the window .* since its offsets were fixed",
        ),
        (
            RefusingTopic(101, 1000, -0.5),
            WindowExpired,
            "The window itself is still there: land it with --ref",
        ),
        (RefusingTopic(50, 1000, -3), Unavailable, "there when asked for again"),
        (RefusingTopic(0, 10, 3), WindowExpired, "refused"),
    ],
    ids=["retention has passed", "over the slack only", "a broker was behind", "the topic was made anew"],
)
def test_a_refusal_is_explained_by_what_the_topic_holds_now(
    topic: RefusingTopic, failure: type[RetrainingError], words: str
) -> None:
    with pytest.raises(failure, match=words):
        list(read_ranges(topic, MANIFEST, WINDOW))  # type: ignore[arg-type]


def test_retention_that_passes_while_looking_behind_the_window_is_explained_over_all_partitions() -> None:
    """Nothing lies behind the window in partition 0, so only partition 1 is looked through."""
    landing = Landing(
        topic="clicks",
        time_zone="UTC",
        event_time="t",
        settle_minutes=0,
        slack_minutes=0,
        max_reject_fraction=0,
    )
    ranges = (OffsetRange(0, 100, 1000, 0, 1000, None), OffsetRange(1, 100, 900, 0, 1000, None))
    topic = HalfRefusingTopic(950, 1000, hours=30)

    with pytest.raises(
        WindowExpired,
        match=r"about 50% of the window .* in 1 of 2 partitions(.|\n)*partition 1: .* 100% lost",
    ):
        reach_held_back(topic, landing, WINDOW, ranges)  # type: ignore[arg-type]
