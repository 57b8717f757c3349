from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.artifact import Window

ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia"])
DAYS = st.dates(date(2020, 1, 1), date(2030, 12, 31))


@given(DAYS, ZONES)
def test_neighbouring_days_neither_overlap_nor_leave_a_gap(day: date, zone: str) -> None:
    assert Window.of_day(day, zone).end == Window.of_day(day + timedelta(days=1), zone).start


@given(DAYS, ZONES)
def test_a_window_knows_its_day(day: date, zone: str) -> None:
    assert Window.of_day(day, zone).day(zone) == day


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_a_day_is_as_long_as_the_clocks_say(day: date, hours: int) -> None:
    window = Window.of_day(day, "Europe/Berlin")

    assert window.end - window.start == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("zone", "day", "second_midnight"),
    [
        ("Atlantic/Azores", date(2026, 10, 25), "2026-10-25T01:00:00+00:00"),
        ("America/Havana", date(2026, 11, 1), "2026-11-01T05:00:00+00:00"),
    ],
)
def test_where_midnight_comes_twice_a_day_begins_at_the_first(
    zone: str, day: date, second_midnight: str
) -> None:
    """Airflow's windows meet at the second one."""
    whole, before = Window.of_day(day, zone), Window.of_day(day - timedelta(days=1), zone)

    beginning = Window.parse(second_midnight, whole.end.isoformat())
    ending = Window.parse(before.start.isoformat(), second_midnight)

    assert beginning.at_first_midnights(zone) == whole
    assert ending.at_first_midnights(zone) == before


@given(DAYS, ZONES)
def test_other_days_begin_and_end_where_they_did(day: date, zone: str) -> None:
    window = Window.of_day(day, zone)

    assert window.at_first_midnights(zone) == window


def test_milliseconds_are_exact() -> None:
    window = Window(
        datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2026, 1, 1, 0, 0, 0, 1000, timezone.utc)
    )

    assert window.end_ms - window.start_ms == 1


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Window.parse("2026-01-01T00:00:00", "2026-01-02T00:00:00+00:00")


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="end after it starts"):
        Window.parse("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00")
