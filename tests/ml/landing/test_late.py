from __future__ import annotations

import logging
from collections import Counter
from datetime import timedelta

import numpy as np
import pytest

from ml.artifact import Window
from ml.config import Pipeline
from ml.landing.late import EarlierDay, EarlierDays, report_late
from ml.landing.ranges import OffsetManifest, OffsetRange
from ml.pipelines import load_pipeline

WINDOW = Window.parse("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")
DAY = 86_400_000


@pytest.fixture
def pipeline() -> Pipeline:
    return load_pipeline("clicks")


def read_to(end: int, topic: str = "clicks", partition: int = 0) -> OffsetManifest:
    """Offsets that end there."""
    return OffsetManifest(topic, (OffsetRange(partition, 0, end, 0, end, None),))


def days_before(*landings: OffsetManifest | None, counted: OffsetManifest | None = None) -> list[EarlierDay]:
    """The days before the window, each with its landing; the last of them may have counted elsewhere."""
    count = len(landings)
    days = [
        EarlierDay(Window(WINDOW.start - timedelta(ago), WINDOW.start - timedelta(ago - 1)), landed, landed)
        for ago, landed in zip(range(count, 0, -1), landings, strict=True)
    ]
    return [*days[:-1], EarlierDay(days[-1].window, days[-1].landed, counted)] if counted else days


@pytest.fixture
def earlier(pipeline: Pipeline) -> EarlierDays:
    """Two days that were landed, one after the other."""
    return EarlierDays.of(pipeline, days_before(read_to(60), read_to(100)))


def count(earlier: EarlierDays, *events: tuple[int, float], partition: int = 0) -> Counter[int]:
    """Events as (offset, days after the window's start)."""
    offsets = np.array([offset for offset, _ in events])
    times = np.array([int(WINDOW.start_ms + days * DAY) for _, days in events])
    return earlier.count(partition, offsets, times)


def test_events_of_earlier_days_are_counted_by_their_day(earlier: EarlierDays) -> None:
    assert count(earlier, (100, -0.5), (101, -1), (102, -1.5), (103, -2)) == {1: 2, 2: 2}


def test_the_last_millisecond_of_a_day_belongs_to_it(earlier: EarlierDays) -> None:
    times = np.array([WINDOW.start_ms - 1, WINDOW.start_ms - DAY - 1])

    assert earlier.count(0, np.array([100, 101]), times) == {1: 1, 2: 1}


def test_events_of_this_day_and_of_days_long_past_are_not_counted(earlier: EarlierDays) -> None:
    assert count(earlier, (100, 0), (101, 0.5), (102, 2), (103, -2.1)) == {}


def test_what_a_landing_has_told_of_is_not_late_again(earlier: EarlierDays) -> None:
    assert count(earlier, (59, -1.5), (60, -1.5), (99, -1.5), (98, -0.5), (99, -0.5)) == {}


def test_a_partition_that_is_new_since_was_not_read_before(earlier: EarlierDays) -> None:
    assert count(earlier, (0, -0.5), partition=7) == {1: 1}


def test_a_day_that_was_never_landed_has_no_late_events(pipeline: Pipeline) -> None:
    """All its events would be some, although they came in time."""
    earlier = EarlierDays.of(pipeline, days_before(read_to(60), None))

    assert count(earlier, (59, -1.5), (60, -1.5), (61, -0.5), (62, -0.1)) == {2: 1}
    assert earlier.by_day(Counter({2: 1})) == {"2026-03-09": None, "2026-03-08": 1}


def test_where_no_day_was_landed_nothing_is_counted(pipeline: Pipeline) -> None:
    earlier = EarlierDays.of(pipeline, days_before(None, None))

    assert count(earlier, (0, -0.5), (61, -1.5)) == {}


def test_a_refreshed_day_has_seen_what_came_until_then(pipeline: Pipeline) -> None:
    """The second day was refreshed up to offset 500, and had counted for the first one up to 100."""
    earlier = EarlierDays.of(pipeline, days_before(read_to(60), read_to(500), counted=read_to(100)))

    assert count(earlier, (499, -0.5), (500, -0.5), (99, -1.5), (100, -1.5), (499, -1.5)) == {1: 1, 2: 2}


def test_offsets_of_another_topic_say_nothing_of_this_one(pipeline: Pipeline) -> None:
    earlier = EarlierDays.of(pipeline, days_before(read_to(60), read_to(100, topic="clicks-old")))

    assert count(earlier, (59, -1.5), (60, -1.5), (100, -0.5)) == {2: 1}
    assert earlier.uncounted == {"2026-03-09": "the landing was from the topic 'clicks-old'"}


def test_counts_are_shown_for_all_days(earlier: EarlierDays) -> None:
    assert earlier.by_day(Counter({2: 5})) == {"2026-03-09": 0, "2026-03-08": 5}


def test_the_log_says_what_came_late_and_of_which_days_that_is_not_known(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ml.landing")
    earlier = EarlierDays.of(pipeline, days_before(None, None, read_to(100, topic="old"), read_to(200)))

    report_late(pipeline, earlier, earlier.by_day(Counter({1: 4})))

    assert "since those were landed: 4 of 2026-03-09. To add them: python -m ml land_examples" in caplog.text
    never = "late events of 2026-03-06, 2026-03-07 are not counted, because the store has no landing"
    assert never in caplog.text
    assert "2026-03-08 are not counted, because the landing was from the topic 'old'" in caplog.text
