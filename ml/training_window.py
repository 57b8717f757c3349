"""The days that a candidate learns from, and the end of the last one, which it is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypedDict

from ml.artifact import Artifact, Window
from ml.day import Day
from ml.store import Draft


class WindowDay(TypedDict):
    """One day of a training window.

    Keys:
        day: the calendar day in the pipeline's time zone, ISO 8601.
        examples: what was landed, or None if the day is left out.
        statistics: of the same day.
        anomalies: of the same day; none of them says stop.
        left_out: why the day is left out, or None.
    """

    day: str
    examples: Artifact | None
    statistics: Artifact | None
    anomalies: Artifact | None
    left_out: str | None


@dataclass(frozen=True)
class TrainingRows:
    """Where the rows are.

    Attributes:
        days: directories of the examples, oldest first; the last is the run's own day.
        holdout: the held-out end of that day, by event time.
    """

    days: Sequence[Path]
    holdout: Window


def earlier_days(day: Day) -> list[Window]:
    """The windows of the training window before this day, oldest first."""
    return days_before(day, day.pipeline.training.window_days - 1)


def days_before(day: Day, count: int) -> list[Window]:
    """So many windows before this day, oldest first: computed from the calendar, not discovered."""
    zone = day.pipeline.landing.time_zone
    today = day.window.day(zone)
    return [Window.of_day(today - timedelta(days=back), zone) for back in range(count, 0, -1)]


def holdout_of(day: Day) -> Window:
    """The last ``holdout_fraction`` of the day, by event time."""
    length = day.window.end - day.window.start
    return Window(day.window.end - length * day.pipeline.training.holdout_fraction, day.window.end)


def write_training_window(day: Day, days: Sequence[WindowDay], draft: Draft) -> None:
    """Write down which days are learned from, and which are left out and why."""
    draft.write_json({"days": list(days), "holdout": holdout_of(day).as_json()})


def read_training_rows(day: Day, training_window: Artifact) -> TrainingRows:
    """Open the examples of a training window, verifying every byte of them."""
    content = day.store.read_json(training_window)
    days = [day.store.open(part["examples"]) for part in content["days"] if part["examples"]]
    return TrainingRows(days, Window.parse(**content["holdout"]))
