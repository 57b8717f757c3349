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
from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ml.day import Day
from ml.durable import write_atomically
from ml.errors import Misconfigured, StoreCorrupted


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


Kind = Literal["refresh", "accept_gap"]


@dataclass(frozen=True)
class Entry:
    """One decision.

    Attributes:
        kind: which reason of a `Decision` it gives.
        reason: in a person's words.
        at: when it was made, ISO 8601 in UTC.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    kind: Kind
    reason: Annotated[str, Field(min_length=1)]
    at: str


ENTRIES = TypeAdapter(tuple[Entry, ...])


@dataclass(frozen=True)
class Decisions:
    """All decisions about one day, oldest first; the file of the day is written anew to add one.

    A reason counts once. The same reason given again, by a retry or a cleared task, decides nothing new,
    even if other decisions have followed it.

    Attributes:
        day: which they are about.
        entries: one a decision.
    """

    day: Day
    entries: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, day: Day) -> Self:
        """Read what has been decided about a day.

        Raises:
            StoreCorrupted: if the file is not as it was written.
        """
        path = _path(day)
        try:
            return cls(day, ENTRIES.validate_json(path.read_bytes()) if path.exists() else ())
        except ValidationError as error:
            raise _corrupted(day, error) from error

    @property
    def standing(self) -> Decision:
        """What holds now: the newest refreshment, and the newest gap that was accepted since.

        A refreshment looks at the topic anew, so a gap that was accepted before it is none of it.
        """
        decision = Decision()
        for entry in self.entries:
            kept = Decision() if entry.kind == "refresh" else decision
            decision = replace(kept, **{entry.kind: entry.reason})
        return decision

    def adding(self, kind: Kind, reason: str) -> Self:
        """The same with one more, not yet written; the same itself if there is no reason or it is known."""
        known = any((entry.kind, entry.reason) == (kind, reason) for entry in self.entries)
        if known or not reason:
            return self
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return replace(self, entries=(*self.entries, Entry(kind, reason, at)))

    def save(self) -> None:
        """Write them down, if one is new. Only inside `deciding`."""
        if self.entries != type(self).of(self.day).entries:
            content = json.dumps([asdict(entry) for entry in self.entries], indent=2)
            write_atomically(_path(self.day), f"{content}\n".encode())


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


def _corrupted(day: Day, error: ValidationError) -> StoreCorrupted:
    faults = "; ".join(f"{'.'.join(map(str, one['loc']))} {one['msg']}".strip() for one in error.errors())
    return StoreCorrupted(
        f"{_path(day)} does not say what was decided about the landing of {day.name}: {faults}. Expected a "
        "JSON list of objects, oldest first, each with kind (refresh or accept_gap), reason and at. Without "
        "it the day would be landed as if nothing had been decided. Something changed it after it was "
        "written: restore it from a copy, or write it anew. The reasons that the day was landed by stand in "
        f"the manifests below {day.store.root / day.pipeline.name / 'offsets'}, at identity.config.decision."
    )


def _path(day: Day) -> Path:
    return day.store.root / day.pipeline.name / "landing" / "decisions" / f"{day.name}.json"
