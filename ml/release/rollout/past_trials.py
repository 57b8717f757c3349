"""When which two versions answered side by side, by the ledger. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from ml.artifact import Window
from ml.release.history import Line
from ml.trials import TrialSpan


@dataclass
class Course:
    """The course of both labels, told line by line.

    Attributes:
        stable: what stable's label names; None while it moves, or if nobody knows.
        canary: what is on trial; None if nothing is.
        since: from when on both have been what they are.
        trials: those that are over.
    """

    stable: int | None = None
    canary: int | None = None
    since: str = ""
    trials: list[TrialSpan] = field(default_factory=list)

    def become(self, moment: str, stable: int | None, canary: int | None) -> None:
        """Let the labels name these from now on."""
        if (stable, canary) == (self.stable, self.canary):
            return
        if self.stable is not None and self.canary is not None:
            self.trials.append(
                TrialSpan(version=self.canary, stable=self.stable, since=self.since, until=moment)
            )
        self.stable, self.canary, self.since = stable, canary, moment


def trials_within(lines: Iterable[Line], labels: tuple[str, str], window: Window) -> list[TrialSpan]:
    """Every time in the window at which a canary and a stable version answered side by side.

    While a label is on its way nobody knows which version answers; that time is no part of a trial.

    Args:
        lines: the ledger's, the oldest first.
        labels: stable's and the canary's.
        window: what lies outside of it is cut off.
    """
    course, last = Course(), window.end.isoformat()
    for line in lines:
        if datetime.fromisoformat(line["time"]) >= window.end:
            break
        _follow(course, line, *labels)
    course.become(last, None, None)
    return [
        TrialSpan(version=one["version"], stable=one["stable"], since=since, until=one["until"])
        for one in course.trials
        for since in [_later(one["since"], window.start)]
        if datetime.fromisoformat(since) < datetime.fromisoformat(one["until"])
    ]


def _follow(course: Course, line: Line, stable: str, canary: str) -> None:
    moves, to, moment = line["event"] in ("moving", "moved"), line["to"], line["time"]
    arrives = to if line["event"] == "moved" else None
    if moves and line["label"] == canary:
        course.become(moment, course.stable, arrives)
    elif moves and line["label"] == stable:
        course.become(moment, arrives, None if to == course.canary else course.canary)
    elif line["action"] == "withdraw" and to == course.canary:
        course.become(moment, course.stable, None)


def _later(since: str, start: datetime) -> str:
    return max(datetime.fromisoformat(since), start).isoformat()
