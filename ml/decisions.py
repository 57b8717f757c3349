"""What people have decided about the landing of a day, remembered for every later landing of that day.

A landing is repeatable, so a day that retention has eaten into stays an error and a day that has landed
stays as it is. Only a person can say otherwise, with a reason. The reason is part of the identity of the
day's offsets: what is landed by a decision lies beside what was landed without, and neither is ever changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Self

from ml.day import Day
from ml.durable import write_atomically
from ml.errors import Misconfigured


@dataclass(frozen=True)
class Decision:
    """How a day is to be landed, other than by the rule. Empty where nothing was decided.

    Attributes:
        refresh: why the day is landed anew, with the late events that have come by then.
        accept_gap: why the day is landed although records of it are, or may be, gone.
    """

    refresh: str = ""
    accept_gap: str = ""

    def as_json(self) -> dict[str, str]:
        """The reasons that there are."""
        return {name: reason for name, reason in asdict(self).items() if reason}


@dataclass(frozen=True)
class Decisions:
    """All decisions about one day, oldest first; the file of the day is written anew to add one.

    A reason counts once. The same reason given again, by a retry or a cleared task, decides nothing new,
    even if other decisions have followed it.

    Attributes:
        day: which they are about.
        entries: ``kind``, ``reason`` and ``at``, the time of the decision.
    """

    day: Day
    entries: tuple[dict[str, str], ...] = ()

    @classmethod
    def of(cls, day: Day) -> Self:
        """Read what has been decided about a day."""
        path = _path(day)
        return cls(day, tuple(json.loads(path.read_bytes())) if path.exists() else ())

    @property
    def standing(self) -> Decision:
        """What holds now: the newest refreshment, and the newest gap that was accepted since.

        A refreshment looks at the topic anew, so a gap that was accepted before it is none of it.
        """
        decision = Decision()
        for entry in self.entries:
            kept = Decision() if entry["kind"] == "refresh" else decision
            decision = replace(kept, **{entry["kind"]: entry["reason"]})
        return decision

    def adding(self, kind: str, reason: str) -> Self:
        """The same with one more, not yet written; the same itself if there is no reason or it is known."""
        known = any((entry["kind"], entry["reason"]) == (kind, reason) for entry in self.entries)
        if known or not reason:
            return self
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return replace(self, entries=(*self.entries, {"kind": kind, "reason": reason, "at": at}))

    def save(self) -> None:
        """Write them down, if one is new. Only inside `deciding`."""
        if self.entries != type(self).of(self.day).entries:
            write_atomically(_path(self.day), (json.dumps(self.entries, indent=2) + "\n").encode())


def refuse_in_what_if(day: Day) -> None:
    """A what-if leaves alone what normal nights make.

    Raises:
        Misconfigured: if the process is part of one.
    """
    if day.variant:
        raise Misconfigured(
            f"the what-if {day.variant['name']} cannot decide how {day.name} is landed: that holds for every "
            "later landing of the day. Decide it in a normal run, without --what-if; the what-if follows."
        )


@contextmanager
def deciding(day: Day) -> Iterator[Decisions]:
    """Hold the lock on a day's decisions: two people who decide at once do so one after the other."""
    with day.store.lock(f"{day.pipeline.name}/landing/decisions/{day.name}"):
        yield Decisions.of(day)


def _path(day: Day) -> Path:
    return day.store.root / day.pipeline.name / "landing" / "decisions" / f"{day.name}.json"
