"""A time zone in which no night begins while a test looks on, whenever the tests are run.

A scheduler begins a night at midnight in the pipeline's time zone, when the day is over, and what else it
does once a day at noon and at two. Where two has just struck, nothing of this is due for nine hours.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

HOUR = 14


def zone_at(now: datetime) -> str:
    """The time zone in which it is between two and three in the afternoon."""
    west = now.astimezone(timezone.utc).hour - HOUR  # the sign in the zones' names is that of POSIX
    return f"Etc/GMT{west:+d}"


NOW = datetime.now(timezone.utc)
ZONE = zone_at(NOW)
YESTERDAY: date = NOW.astimezone(ZoneInfo(ZONE)).date() - timedelta(days=1)
TIME_ZONE = "RETRAIN_LANDING__TIME_ZONE"
AFTERNOON = {TIME_ZONE: ZONE}
