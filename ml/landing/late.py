"""Events of earlier days that came after those days were landed, counted in passing.

A night scans what was produced since its day began, and a little before. Events of earlier days that have
come since the last landing lie in that range, behind the offsets at which it stopped. So they can be counted
while the night's own day is read, each in one night only, and nothing is read for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ml.artifact import Window
from ml.config import Pipeline
from ml.landing.ranges import OffsetManifest


@dataclass(frozen=True)
class EarlierDays:
    """The days before a window, and where the last landing of one of them stopped reading.

    Attributes:
        names: the calendar days, oldest first.
        starts: int64, the first millisecond of each, and then that of the window.
        ends: partition → the first offset that the last landing did not read.
    """

    names: Sequence[str]
    starts: np.ndarray[Any, np.dtype[np.int64]]
    ends: Mapping[int, int]

    @classmethod
    def of(cls, pipeline: Pipeline, days: Sequence[Window], offsets: Path) -> Self:
        """From the days, oldest first, and the directory of the last landing's offset manifest."""
        return cls(
            [pipeline.name_of(day) for day in days],
            np.array([day.start_ms for day in days] + [days[-1].end_ms]),
            {one.partition: one.end for one in OffsetManifest.read(offsets).ranges},
        )

    def count(
        self,
        partition: int,
        offsets: np.ndarray[Any, np.dtype[np.int64]],
        times: np.ndarray[Any, np.dtype[np.int64]],
    ) -> Counter[int]:
        """How many days ago → events of that day that the last landing did not see.

        Args:
            partition: where they lie.
            offsets: one an event.
            times: the events' own, in milliseconds since the epoch.
        """
        unseen = times[offsets >= self.ends.get(partition, 0)]
        days_ago = len(self.starts) - np.searchsorted(self.starts, unseen, side="right")
        within = days_ago[(days_ago > 0) & (days_ago < len(self.starts))]
        return Counter(within.tolist())

    def by_day(self, counts: Counter[int]) -> dict[str, int]:
        """The counts by calendar day, for all days."""
        return {name: counts[ago] for ago, name in enumerate(reversed(self.names), 1)}
