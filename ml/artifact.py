"""The one mental model: a step takes artifacts and makes an artifact."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any, TypedDict
from zoneinfo import ZoneInfo

READ_SIZE = 1 << 20


class Artifact(TypedDict):
    """A reference to bytes in the store; a plain dict, so that it travels through XCom.

    Keys:
        kind: what it is, for example ``examples`` or ``drift_report``.
        uri: ``store:<pipeline>/<kind>/<day>-<key>``, below the root of the store.
        digest: SHA-256 (hex) over the kind, the files, the facts and the inputs' digests.
    """

    kind: str
    uri: str
    digest: str


@dataclass(frozen=True)
class Window:
    """A half-open interval ``[start, end)`` in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError(f"a window needs a time zone on both ends, got {self.start} and {self.end}")
        if not self.start < self.end:
            raise ValueError(f"a window must end after it starts, got [{self.start}, {self.end})")
        object.__setattr__(self, "start", self.start.astimezone(timezone.utc))
        object.__setattr__(self, "end", self.end.astimezone(timezone.utc))

    @classmethod
    def of_day(cls, day: date, time_zone: str) -> Window:
        """The calendar day in ``time_zone``; 23 or 25 hours long when the clocks change."""
        zone = ZoneInfo(time_zone)
        midnight = datetime.combine(day, time(), zone)
        return cls(midnight, datetime.combine(day + timedelta(days=1), time(), zone))

    @classmethod
    def parse(cls, start: str, end: str) -> Window:
        """From two ISO 8601 timestamps with offsets."""
        return cls(datetime.fromisoformat(start), datetime.fromisoformat(end))

    def at_first_midnights(self, time_zone: str) -> Window:
        """The same with each end at the first of two moments at which the clocks show the same.

        Where they go back over midnight, a day begins at the first midnight, and Airflow's at the second.
        """
        zone = ZoneInfo(time_zone)
        return Window(*(each.astimezone(zone).replace(fold=0) for each in (self.start, self.end)))

    def day(self, time_zone: str) -> date:
        """The calendar day that the window starts on in ``time_zone``."""
        return self.start.astimezone(ZoneInfo(time_zone)).date()

    @property
    def start_ms(self) -> int:
        """Milliseconds since the epoch, as Kafka counts them."""
        return milliseconds(self.start)

    @property
    def end_ms(self) -> int:
        """Milliseconds since the epoch, as Kafka counts them."""
        return milliseconds(self.end)

    def as_json(self) -> dict[str, str]:
        """Both ends as ISO 8601 in UTC."""
        return {"start": self.start.isoformat(), "end": self.end.isoformat()}

    def __str__(self) -> str:
        return f"[{self.start:%Y-%m-%d %H:%M}, {self.end:%Y-%m-%d %H:%M}) UTC"


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since the epoch, without the rounding of floating-point seconds."""
    return (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)


def canonical_json(value: Any) -> str:
    """JSON in one spelling only: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: if a number is NaN or infinite, for which JSON has no word.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, read in blocks."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_SIZE):
            sha.update(block)
    return sha.hexdigest()
