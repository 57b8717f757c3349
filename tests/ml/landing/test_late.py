from __future__ import annotations

from collections import Counter

import numpy as np

from ml.artifact import Window
from ml.landing.late import EarlierDays

WINDOW = Window.parse("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")
DAY = 86_400_000
EARLIER = EarlierDays(
    ["2026-03-08", "2026-03-09"],
    np.array([WINDOW.start_ms - 2 * DAY, WINDOW.start_ms - DAY, WINDOW.start_ms]),
    {0: 100},
)


def count(*events: tuple[int, float], partition: int = 0) -> Counter[int]:
    """Events as (offset, days after the window's start)."""
    offsets = np.array([offset for offset, _ in events])
    times = np.array([int(WINDOW.start_ms + days * DAY) for _, days in events])
    return EARLIER.count(partition, offsets, times)


def test_events_of_earlier_days_are_counted_by_their_day() -> None:
    assert count((100, -0.5), (101, -1), (102, -1.5), (103, -2)) == {1: 2, 2: 2}


def test_the_last_millisecond_of_a_day_belongs_to_it() -> None:
    times = np.array([WINDOW.start_ms - 1, WINDOW.start_ms - DAY - 1])

    assert EARLIER.count(0, np.array([100, 101]), times) == {1: 1, 2: 1}


def test_events_of_this_day_and_of_days_long_past_are_not_counted() -> None:
    assert count((100, 0), (101, 0.5), (102, 2), (103, -2.1)) == {}


def test_what_the_last_landing_has_read_is_not_late() -> None:
    assert count((98, -0.5), (99, -0.5), (100, -0.5)) == {1: 1}


def test_a_partition_that_is_new_since_was_not_read_before() -> None:
    assert count((0, -0.5), partition=7) == {1: 1}


def test_counts_are_shown_for_all_days() -> None:
    assert EARLIER.by_day(Counter({2: 5})) == {"2026-03-09": 0, "2026-03-08": 5}
