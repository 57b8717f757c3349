"""The days that a demo takes for its story."""

from __future__ import annotations

from datetime import date, datetime, timezone

import pytest

from tests.demo.story import last_settled_days


@pytest.mark.parametrize(
    ("now", "first"),
    [("01:59", date(2026, 11, 16)), ("02:00", date(2026, 11, 17)), ("23:59", date(2026, 11, 17))],
)
def test_the_last_day_is_one_that_no_night_waits_for(now: str, first: date) -> None:
    moment = datetime.fromisoformat(f"2026-11-22T{now}").replace(tzinfo=timezone.utc)

    assert last_settled_days(5, moment) == first
