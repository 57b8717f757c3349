"""What a person or an alert asks for, and which move of the label that means now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml.errors import Misconfigured, Withheld
from ml.release.history import GOLDEN, golden_version, version_before
from ml.release.ledger import Move
from ml.release.production import Records
from ml.release.versions import Version

PREVIOUS = "previous"


@dataclass(frozen=True)
class Wish:
    """What a person or an alert asks for.

    Attributes:
        to: ``previous``, ``golden`` or a version's number.
        reason: why, in words.
        who: the DAG run, or the user of the operating system.
        evidence: address of what the decision rests on; may be empty.
        is_run: whether ``who`` names one run, which asks for one move only, however often it is repeated.
        leaving: the version that must be served still for this to be wanted; None for any.
    """

    to: str
    reason: str
    who: str
    evidence: str = ""
    is_run: bool = False
    leaving: int | None = None

    def asked_for(self, line: Mapping[str, Any]) -> bool:
        """Whether a line of the ledger comes from this wish."""
        return line["action"] == "rollback" and (line["who"], line["reason"]) == (
            self.who,
            self.reason.strip(),
        )

    def check_holds(self, served: int | None) -> None:
        """Let through only what is still wanted.

        Raises:
            Withheld: if another version is served by now than the one that was to be left.
        """
        if self.leaving not in (None, served):
            raise Withheld(f"{self.who} wanted to leave {self.leaving}, but {served} is served by now")


def plan_move(wish: Wish, records: Records, served: int | None) -> Move:
    """The move that was asked for; the same one if it was lost after the label had moved.

    Else a second try would find another version to be the previous one, and go back twice.
    """
    lost, ledger = records.ledger.on_the_way, records.ledger
    has_arrived = lost is not None and lost["event"] == "moving" and lost["to"] == served
    if lost and has_arrived and wish.asked_for(lost):
        version, previous = find_target(str(lost["to"]), records, served), lost["from"]
    else:
        if lost and has_arrived:
            ledger.arrive(lost)
        version, previous = find_target(wish.to, records, served), served
    return Move(
        "rollback", ledger.label, version, previous, wish.who, wish.reason.strip(), evidence=wish.evidence
    )


def find_target(to: str, records: Records, served: int | None) -> Version:
    """The version that ``previous``, ``golden`` or a number means.

    Raises:
        Misconfigured: if it means none, with those that there are.
    """
    lines, published = records.ledger.entries(), records.known_answers.versions()
    if to == PREVIOUS:
        number = version_before(lines, records.pipeline.serving.label, served)
    elif to == GOLDEN:
        number = golden_version(lines)
    else:
        number = int(to) if to.isdecimal() and int(to) in published else None
    version = None if number is None else records.versions.find(number)
    if version is None:
        known = ", ".join(map(str, published)) or "none yet"
        raise Misconfigured(
            f"there is no version {to!r} of {records.pipeline.name} to go back to. Expected previous (the "
            "last older one that has served and was not rolled back), golden (named by python -m ml golden "
            f"set) or one of those that were published: {known}."
        )
    return version


def moved_before(wish: Wish, records: Records) -> dict[str, Any] | None:
    """The line that says that this run has moved the label; None for a person, who may ask twice."""
    done = [line for line in records.ledger.entries() if line["event"] == "moved" and wish.asked_for(line)]
    return done[-1] if done and wish.is_run else None
