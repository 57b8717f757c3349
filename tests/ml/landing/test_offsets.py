from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.artifact import Window
from ml.config import Landing
from ml.landing.block import Block
from ml.landing.held_back import reach_held_back
from ml.landing.lost_slack import _near, warn_of_lost_slack
from ml.landing.offsets import _by_scan, _by_time
from ml.landing.ranges import OffsetRange

HOUR = 3_600_000
WINDOW = Window.parse("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")
LANDING = Landing(
    topic="clicks",
    time_zone="UTC",
    event_time="t",
    settle_minutes=120,
    slack_minutes=60,
    max_reject_fraction=0,
)


@dataclass
class ListedTopic:
    """A topic of one partition, held in a list, that answers as Kafka does.

    Attributes:
        hours: when each offset was produced, in hours after the window's start.
        markers: offsets that no reader sees: markers of transactions.
        low: the lowest offset still there.
    """

    hours: Sequence[float]
    markers: frozenset[int] = frozenset()
    low: int = 0
    name: str = "clicks"

    @property
    def times(self) -> list[int]:
        return [int(WINDOW.start_ms + hour * HOUR) for hour in self.hours]

    def partitions(self) -> list[int]:
        return [0]

    def watermarks(self, partition: int) -> tuple[int, int]:  # noqa: ARG002
        return self.low, len(self.hours)

    def offsets_at(self, partitions: list[int], moment: int) -> dict[int, int | None]:
        found = (at for at, time in enumerate(self.times) if at >= self.low and time >= moment)
        return {partition: next(found, None) for partition in partitions}

    def first_timestamp(self, partition: int, low: int) -> int | None:
        return next((int(block.timestamps[0]) for block in self.read(partition, low)), None)

    def end_of(self, partition: int, position: int) -> int:  # noqa: ARG002
        return len(self.hours)

    def read(self, partition: int, start: int, end: int | None = None) -> Iterator[Block]:  # noqa: ARG002
        offsets = [
            at for at in range(start, len(self.hours) if end is None else end) if at not in self.markers
        ]
        if offsets:
            yield Block(0, np.array(offsets), np.array(self.times)[offsets], [b"{}"] * len(offsets))


def by_time(topic: ListedTopic, *, to_the_end: bool = False) -> OffsetRange:
    return next(_by_time(topic, LANDING, WINDOW, to_the_end=to_the_end))  # type: ignore[arg-type]


def bounds(topic: ListedTopic) -> tuple[int, int]:
    [found] = reach_held_back(topic, LANDING, WINDOW, [by_time(topic)])  # type: ignore[arg-type]
    return found.start, found.end


def test_the_range_is_the_window_with_slack_before_and_after_settling() -> None:
    assert bounds(ListedTopic([-5, -1.1, -1, 0, 23, 26.9, 27, 30])) == (2, 6)


def test_a_window_at_the_end_of_the_topic_reaches_to_its_end() -> None:
    assert bounds(ListedTopic([-5, 1, 2])) == (1, 3)


def test_a_window_after_the_topic_is_empty_and_starts_at_its_end() -> None:
    assert bounds(ListedTopic([-50, -40])) == (2, 2)


def test_a_window_before_the_topic_is_empty() -> None:
    assert bounds(ListedTopic([40, 50])) == (0, 0)


def test_an_empty_partition_gives_an_empty_range() -> None:
    assert by_time(ListedTopic([])) == OffsetRange(0, 0, 0, 0, 0, None)


def test_a_record_from_the_future_does_not_cut_the_day_short() -> None:
    assert bounds(ListedTopic([0, 1, 9_999, 2, 3, 30])) == (0, 5)


def test_the_marker_of_a_later_transaction_does_not_cut_the_day_short() -> None:
    assert bounds(ListedTopic([0, 1, 9_999, 2, 3, 9_999], markers=frozenset({2, 5}))) == (0, 5)


def test_a_marker_at_the_end_of_the_range_is_no_reason_to_read_on() -> None:
    assert bounds(ListedTopic([0, 1, 30, 31, 32], markers=frozenset({2}))) == (0, 2)


def test_the_first_timestamp_is_noted_where_something_was_deleted() -> None:
    assert by_time(ListedTopic([0, 1, 2, 3], low=0)).first_timestamp is None
    assert by_time(ListedTopic([0, 1, 2, 3], low=2)).first_timestamp == WINDOW.start_ms + 2 * HOUR


def test_a_refreshed_window_reaches_to_the_end_of_the_topic() -> None:
    found = by_time(ListedTopic([-5, 0, 23, 30, 50]), to_the_end=True)

    assert (found.start, found.end) == (1, 5)


def test_a_scan_takes_everything_that_is_there() -> None:
    found = next(_by_scan(ListedTopic([-90, 1, 90], low=1)))  # type: ignore[arg-type]

    assert (found.start, found.end) == (1, 3)


def test_a_record_that_was_held_back_is_reached_however_far_behind_it_lies() -> None:
    assert bounds(ListedTopic([0, 1, *[30] * 20_000, 25.9, *[31] * 20_000])) == (0, 20_003)


def test_a_record_too_old_for_the_window_is_no_reason_to_read_on() -> None:
    assert bounds(ListedTopic([0, 1, 30, -1.1, 26, -400_000])) == (0, 2)


@settings(max_examples=200)
@given(st.lists(st.floats(-40, 60), max_size=20))
def test_no_record_that_may_belong_to_the_window_is_missed_whatever_the_order(hours: list[float]) -> None:
    topic = ListedTopic(hours)
    start, end = bounds(topic)

    first, settled = WINDOW.start_ms - HOUR, WINDOW.end_ms + 2 * HOUR
    wanted = [at for at, time in enumerate(topic.times) if first <= time < settled]
    assert all(start <= at < end for at in wanted)


@pytest.mark.parametrize(
    ("hours", "warned"),
    [
        ([-0.5, 1, 2], True),
        ([-1.5, -0.9, 0.1, 2, 3, 4], False),
        ([-1.5, 5, 5.1, 5.2], True),
        ([-30, -1.5, *[12] * 200], True),
        ([-1.5, 9_999, -1.4, -1.3, -1.2], False),
        ([*[-50] * 100, *[5] * 100], False),
        ([1, 2, 3], False),
    ],
    ids=[
        "within the slack",
        "before the slack",
        "one held back, and the morning is gone",
        "two held back, and half the day is gone",
        "one from the future",
        "a quiet night",
        "a loss, which is an error",
    ],
)
def test_a_beginning_that_does_not_show_the_window_to_be_whole_is_said(
    hours: Sequence[float], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    topic = ListedTopic([-90, *hours], low=1)

    warn_of_lost_slack(topic, LANDING, WINDOW, [by_time(topic)])  # type: ignore[arg-type]

    assert ("in partitions [0]" in caplog.text) is warned


def test_a_beginning_without_a_record_is_not_warned_of() -> None:
    """A large transaction was aborted there."""
    topic = ListedTopic([-90, *[5] * 150, -1.5, 5, 5, 5], markers=frozenset(range(1, 151)), low=1)

    assert not list(_near(topic, LANDING, WINDOW, [by_time(topic)]))  # type: ignore[arg-type]


@settings(max_examples=100)
@given(st.lists(st.floats(-0.9, 0.9), min_size=300, max_size=300), st.floats(-90, -1.1))
def test_a_busy_topic_out_of_order_is_not_warned_of(shifts: list[float], first: float) -> None:
    """Some records a minute, each up to the slack too early or too late."""
    hours = [first, *(first + number / 60 + shift for number, shift in enumerate(shifts))]
    topic = ListedTopic([-90, *hours], low=1)
    [one] = [by_time(topic)]

    assert not list(_near(topic, LANDING, WINDOW, [one]))  # type: ignore[arg-type]
