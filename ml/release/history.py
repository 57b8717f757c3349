"""What the ledger's lines come to: what served when, what was rolled back, where one can go back to.

Pure: everything here takes the lines and tells. A move that was announced and never said to be done is told
from the next one of the same label, whose ``from`` is what the model server had reported by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ml.removal import Address

GOLDEN = "golden"

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Passage:
    """One move, from its announcement to its end.

    Attributes:
        line: the line that announced it.
        moved_at: when the label was known to have moved; None if it did not, or nobody knows yet.
        settled: whether the registry's alias is known to have followed.
        lost: whether it was announced, and the next move of the label found it not done.
    """

    line: Line
    moved_at: datetime | None = None
    settled: bool = False
    lost: bool = False

    @property
    def announced_at(self) -> datetime:
        """When the label was about to move."""
        return datetime.fromisoformat(self.line["time"])

    @property
    def to(self) -> int:
        """The version that it moved the label to."""
        return int(self.line["to"])


@dataclass(frozen=True)
class ServedThen:
    """What a label named at some moment.

    Attributes:
        passage: the move that had brought it there; None if nothing was served yet.
        on_the_way: a move that had been announced by then and was done later, or nobody knows whether.
    """

    passage: Passage | None
    on_the_way: Passage | None


def passages(lines: Iterable[Line], label: str) -> list[Passage]:
    """All moves of a label, oldest first."""
    found: list[Passage] = []
    for line in lines:
        if line["event"] == "noted" or line["label"] != label:
            continue
        if line["event"] == "moving":
            found = [*_resolved(found, line), Passage(line)]
        elif found:
            found[-1] = _advanced(found[-1], line)
    return found


def arrivals(lines: Iterable[Line], label: str) -> list[Passage]:
    """The moves of a label that are known to have come to their end, oldest first."""
    return [passage for passage in passages(lines, label) if passage.moved_at]


def served_at(lines: Iterable[Line], label: str, moment: datetime) -> ServedThen:
    """What the label named at a moment, as far as the ledger can tell."""
    served, on_the_way = None, None
    for passage in passages(lines, label):
        if passage.moved_at is not None and passage.moved_at <= moment:
            served, on_the_way = passage, None
        elif passage.announced_at <= moment and not passage.lost:
            on_the_way = passage
    return ServedThen(served, on_the_way)


def rolled_back(lines: Iterable[Line]) -> dict[int, Line]:
    """The versions that were rolled back and not readmitted since, each with the line that says why.

    Going back to an older version condemns the one that was left, and so does withdrawing a canary. To go to
    such a version by its number, or to readmit it, takes that back.
    """
    found: dict[int, Line] = {}
    for line in lines:
        if line["event"] == "moved" and line["action"] == "rollback":
            found.pop(line["to"], None)
            if line["from"] is not None and line["from"] > line["to"]:
                found[line["from"]] = line
        elif line["action"] == "withdraw":
            found[line["to"]] = line
        elif line["action"] == "readmit":
            found.pop(line["to"], None)
    return found


def canary_on_trial(lines: Iterable[Line], label: str) -> Line | None:
    """The line that says that the canary's label has moved to the version on trial; None without a trial.

    It ends when the version is withdrawn, or when all users are answered by it, or another takes its place.
    """
    trial: Line | None = None
    for line in lines:
        if line["label"] == label and line["event"] == "moved":
            trial = line
        elif trial and line["to"] == trial["to"] and _ends_trial(line):
            trial = None
    return trial


def version_before(lines: Sequence[Line], label: str, served: int | None) -> int | None:
    """Where ``previous`` leads: the last older version that has served and was not rolled back."""
    condemned = rolled_back(lines)
    for passage in reversed(arrivals(lines, label)):
        candidate = passage.to
        is_older = served is None or candidate < served
        if candidate != served and is_older and candidate not in condemned:
            return candidate
    return None


def golden_version(lines: Iterable[Line]) -> int | None:
    """The version that a person named golden; None if nobody has."""
    named = arrivals(lines, GOLDEN)
    return named[-1].to if named else None


def realised_words(lines: Iterable[Line]) -> dict[int, Line]:
    """The word of realised labels that counts, on each version that was a canary.

    It is that of the latest day whose clicks could tell; of several trials on one day, the worst. Clicks that
    could not tell take nothing back that others have told.
    """
    found: dict[int, Line] = {}
    for line in lines:
        if line["action"] == "reassess" and _outweighs(line, found.get(line["to"])):
            found[line["to"]] = line
    return found


def judged_day(word: Line) -> str:
    """The day in the address of a word's evidence: ``store:<pipeline>/realised/<day>-<key>``.

    Good for putting words in order; clocks twelve hours ahead of UTC name the day otherwise.
    """
    return Address.of(word["evidence"]).day


def _outweighs(word: Line, before: Line | None) -> bool:
    """Whether a word on a version counts instead of the one before."""
    if before is None:
        return True
    if _tells(word) != _tells(before):
        return _tells(word)
    if word["evidence"] == before["evidence"]:
        return bool(word["verdict"] == "DOUBTED")
    return judged_day(before) <= judged_day(word)


def _tells(word: Line) -> bool:
    return bool(word["verdict"] != "INCONCLUSIVE")


def _ends_trial(line: Line) -> bool:
    if line["event"] == "noted":
        return bool(line["action"] == "withdraw")
    return line["event"] == "moved" and line["action"] in ("promote", "rollback")


def _advanced(passage: Passage, line: Line) -> Passage:
    if line["event"] == "settled":
        return replace(passage, settled=True)
    return replace(passage, moved_at=datetime.fromisoformat(line["time"]), settled=bool(line["alias"]))


def _resolved(found: list[Passage], following: Line) -> list[Passage]:
    """The moves so far, the last one known to be done or lost from what the next one started at."""
    if not found or found[-1].moved_at:
        return found
    last = found[-1]
    if following["from"] == last.to:
        return [*found[:-1], replace(last, moved_at=datetime.fromisoformat(following["time"]))]
    if following["to"] == last.to and following["from"] == last.line["from"]:
        # The same move, announced once more by whoever tried again.
        return found[:-1]
    return [*found[:-1], replace(last, lost=True)]
