"""Events of earlier days that came after those days were landed, counted in passing.

A night scans what was produced since its day began, and a little before. Events of earlier days that have
come since lie in that range: behind the offsets at which their own day stopped, and behind those at which the
last night that counted them did. So they are counted while the night's own day is read, each in one night
only, and nothing is read for it.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from ml.artifact import Window
from ml.config import Pipeline
from ml.landing.ranges import OffsetManifest

NEVER = np.iinfo(np.int64).max
NOT_LANDED = "the store has no landing to count from"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EarlierDay:
    """One day before a window, and how far it was read.

    Attributes:
        window: the day.
        landed: the offsets of the landing that holds for it; None if it was never landed.
        counted: the offsets of its last landing that counted late events of the days before it. A
            refreshment counts none. None if there is no such landing.
        unreadable: why its landings could not be looked up; empty if they could.
    """

    window: Window
    landed: OffsetManifest | None = None
    counted: OffsetManifest | None = None
    unreadable: str = ""

    def why_not_counted(self, topic: str) -> str:
        """Why late events of this day cannot be told from the others; empty if they can."""
        if self.landed is None:
            return self.unreadable or NOT_LANDED
        return "" if self.landed.topic == topic else f"the landing was from the topic {self.landed.topic!r}"


@dataclass(frozen=True)
class EarlierDays:
    """The days before a window, and from where on their events are late and not counted yet.

    Attributes:
        names: the calendar days, oldest first.
        starts: int64, the first millisecond of each, and then that of the window.
        ends: for each day, partition → the first offset of which neither its own landing nor that of a day
            after it has told; None if late events of the day are not counted.
        uncounted: the name of such a day → why.
    """

    names: Sequence[str]
    starts: np.ndarray[Any, np.dtype[np.int64]]
    ends: Sequence[Mapping[int, int] | None]
    uncounted: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pipeline: Pipeline, days: Sequence[EarlierDay]) -> Self:
        """From the days, oldest first, without a gap between them."""
        topic = pipeline.landing.topic
        names = [pipeline.name_of(day.window) for day in days]
        starts = np.array([day.window.start_ms for day in days] + [days[-1].window.end_ms])
        reasons = {name: day.why_not_counted(topic) for name, day in zip(names, days, strict=True)}
        uncounted = {name: reason for name, reason in reasons.items() if reason}
        return cls(names, starts, list(_ends(days, topic))[::-1], uncounted)

    def count(
        self,
        partition: int,
        offsets: np.ndarray[Any, np.dtype[np.int64]],
        times: np.ndarray[Any, np.dtype[np.int64]],
    ) -> Counter[int]:
        """How many days ago → events of that day that no landing has told of.

        Args:
            partition: where they lie.
            offsets: one an event.
            times: the events' own, in milliseconds since the epoch.
        """
        ends = np.array([NEVER if each is None else each.get(partition, 0) for each in self.ends])
        behind = offsets >= ends.min()
        days = np.searchsorted(self.starts, times[behind], side="right") - 1
        within = (days >= 0) & (days < len(ends))
        days = days[within]
        unseen = days[offsets[behind][within] >= ends[days]]
        return Counter((len(ends) - unseen).tolist())

    def by_day(self, counts: Counter[int]) -> dict[str, int | None]:
        """The counts by calendar day, for all days; None for those whose late events are not counted."""
        days = enumerate(reversed(self.names), 1)
        return {name: None if name in self.uncounted else counts[ago] for ago, name in days}


def report_late(pipeline: Pipeline, earlier: EarlierDays, late_by_day: Mapping[str, int | None]) -> None:
    """Say which earlier days have got late events since they were landed, and of which that is not known."""
    if found := {day: count for day, count in late_by_day.items() if count}:
        log.info(
            "events of earlier days have come since those were landed: %s. To add them: python -m ml "
            "land_examples --pipeline %s --day %s --refresh REASON",
            ", ".join(f"{count} of {day}" for day, count in found.items()), pipeline.name, max(found),
        )  # fmt: skip
    days_of = defaultdict(list)
    for day, reason in earlier.uncounted.items():
        days_of[reason].append(day)
    for reason, days in days_of.items():
        log.info("late events of %s are not counted, because %s", ", ".join(days), reason)


def _ends(days: Sequence[EarlierDay], topic: str) -> Iterator[Mapping[int, int] | None]:
    """What is told of each day's events, the newest day first."""
    told: Mapping[int, int] = {}
    for day in reversed(days):
        told = _further(told, day.counted, topic)
        yield None if day.why_not_counted(topic) else _further(told, day.landed, topic)


def _further(ends: Mapping[int, int], read: OffsetManifest | None, topic: str) -> Mapping[int, int]:
    """The ends, or those of what was read of the topic where these lie further on."""
    if read is None or read.topic != topic:
        return ends
    return {**ends, **{one.partition: max(one.end, ends.get(one.partition, 0)) for one in read.ranges}}
