"""The demo's five nights, and what must come of each. The data causes it, nothing is scripted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from ml.pipelines import load_pipeline
from tests.demo.clicks import Corruption, Day

PIPELINE = "clicks"
TOPIC = "clicks"
PARTITIONS = 3
RECORDS = 150_000


@dataclass(frozen=True)
class Night:
    """One night of the story.

    Attributes:
        day: the log.
        log: what is special about it, for people.
        expected: verdicts that are an honest outcome.
    """

    day: Day
    log: str
    expected: tuple[str, ...]


def five_nights(first: date, records: int = RECORDS) -> list[Night]:
    """The story, beginning with the log of ``first``."""
    days = [first + timedelta(days=number) for number in range(5)]
    damage = Corruption(negative_quantity=0.004, missing_item=0.003, not_json=0.01)
    tablets = (0.30, 0.22, 0.48)
    return [
        Night(Day(days[0], records, 1), "normal, no production yet", ("BOOTSTRAP",)),
        Night(Day(days[1], records, 2), "normal, more evidence", ("PASS", "FAIL", "INCONCLUSIVE")),
        Night(Day(days[2], records, 3, corruption=damage), "damaged events", ("PAUSED",)),
        Night(Day(days[3], records, 4, devices=tablets), "a new device mix", ("PAUSED",)),
        Night(Day(days[4], records, 5, behaviour="reversed"), "users click differently", ("PASS",)),
    ]


def last_settled_days(number: int, now: datetime) -> date:
    """The first of so many days, in UTC; the last is the newest for which no night waits any more."""
    settle = timedelta(minutes=load_pipeline(PIPELINE).landing.settle_minutes)
    return (now.astimezone(timezone.utc) - settle).date() - timedelta(days=number)
