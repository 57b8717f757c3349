from __future__ import annotations

import pytest

from ml.artifact import Window
from ml.errors import WindowExpired
from ml.landing.ranges import OffsetRange
from ml.landing.retention import check_retention

WINDOW = Window.parse("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")
HOUR = 3_600_000


def kept_since(hours: float | None, partition: int = 0, low: int = 500, high: int = 900) -> OffsetRange:
    """A partition whose first record was produced so many hours after the window's start."""
    first = None if hours is None else int(WINDOW.start_ms + hours * HOUR)
    return OffsetRange(partition, low, high, low, high, first)


def untouched(partition: int = 0) -> OffsetRange:
    return kept_since(None, partition, low=0)


def emptied(partition: int = 0) -> OffsetRange:
    return kept_since(None, partition, low=900)


@pytest.mark.parametrize(
    "ranges",
    [
        [untouched()],
        [kept_since(-5)],
        [kept_since(0)],
        [untouched(0), kept_since(-0.001, 1)],
        [kept_since(-5, 0), emptied(1)],
        [OffsetRange(0, 0, 0, 0, 0, None)],
    ],
    ids=["nothing deleted", "deleted before", "just whole", "both", "an idle partition", "a new topic"],
)
def test_a_whole_window_passes(ranges: list[OffsetRange]) -> None:
    check_retention("clicks", WINDOW, ranges)


@pytest.mark.parametrize(
    ("ranges", "lost"),
    [
        ([kept_since(6)], "25%"),
        ([kept_since(30)], "100%"),
        ([emptied()], "100%"),
        ([kept_since(12, 0), untouched(1)], "25%"),
        ([kept_since(-3, 0), kept_since(24, 1)], "50%"),
        ([untouched(0), emptied(1)], "50%"),
    ],
    ids=["partly gone", "gone", "all gone", "half of one of two", "one of two", "empty, and no other tells"],
)
def test_a_window_that_retention_has_eaten_is_an_error_with_its_size(
    ranges: list[OffsetRange], lost: str
) -> None:
    with pytest.raises(WindowExpired, match=f"about {lost} of the window"):
        check_retention("clicks", WINDOW, ranges)


def test_the_message_names_partition_and_first_record() -> None:
    with pytest.raises(
        WindowExpired, match=r"partition 1: .*2026-03-10T06:00:00\+00:00 \(offset 500\); about 25%"
    ):
        check_retention("clicks", WINDOW, [untouched(0), kept_since(6, 1)])
