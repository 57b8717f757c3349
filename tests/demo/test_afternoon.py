"""In every hour it is two in the afternoon somewhere."""

from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from ml.config.data import Landing
from ml.pipelines import load_pipeline
from tests.demo.afternoon import zone_at


@pytest.mark.parametrize("hour", range(24))
def test_no_night_begins_for_nine_hours(hour: int) -> None:
    now = datetime(2026, 3, 10, hour, 59, 59, tzinfo=timezone.utc)
    zone = zone_at(now)

    here = now.astimezone(ZoneInfo(zone))
    assert (here.hour, here.minute) == (14, 59)
    landing = load_pipeline("clicks").landing.model_dump()
    assert Landing(**{**landing, "time_zone": zone}).time_zone == zone
