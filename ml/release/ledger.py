"""The ledger: every move of a label, and every decision of a person about versions, in the order they came.

MLflow keeps no history of its aliases and the model server none of labels. One JSON object a line, in a file
that only grows (`ml.release.chain`). A move takes two lines: ``moving`` before the label is touched, and
``moved`` after the label has moved and the registry's alias has followed. A ``moving`` that no ``moved``
follows is a move that was lost on the way; whoever comes next knows from it that a label ahead of its alias
is ours to finish, and not a stranger's doing. Where MLflow did not answer, ``moved`` says ``"alias": false``
and a ``settled`` follows once the alias has. What moves no label is ``noted``.
"""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

from ml.config import Pipeline
from ml.errors import Misconfigured
from ml.release.chain import Chain
from ml.release.versions import Version
from ml.store import Store

Event = Literal["moving", "moved", "settled", "noted"]
Action = Literal["push", "promote", "rollback", "golden", "readmit", "withdraw", "reassess"]
MOVES = ("moving", "moved", "settled")
PLACE = ("line", "previous", "time")
MAX_REASON = 2000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Move:
    """A label's way from one version to another; or, with equal versions, a decision about one.

    Attributes:
        action: what kind of move it is.
        label: the model server's label that moves.
        version: where to.
        previous: from which version; None if there was none.
        who: the DAG run, or the user of the operating system.
        reason: why, in words.
        verdict: the gate's, for a push; empty otherwise.
        evidence: address of what the decision rests on; empty if there is nothing but the reason.
    """

    action: Action
    label: str
    version: Version
    previous: int | None
    who: str
    reason: str
    verdict: str = ""
    evidence: str = ""

    def as_json(self) -> dict[str, Any]:
        """What a line says of it."""
        return {
            "action": self.action,
            "label": self.label,
            "from": self.previous,
            "to": self.version.number,
            "model": self.version.model["digest"],
            "watermark": self.version.watermark.isoformat(),
            "who": self.who,
            "reason": self.reason,
            "verdict": self.verdict,
            "evidence": self.evidence,
        }


class Ledger:
    """The ledger of one pipeline, oldest line first. Write to it under the publication lock only.

    Attributes:
        label: whose moves the properties tell of, by default the one that users' requests name.
        path: the file.
    """

    def __init__(self, pipeline: Pipeline, store: Store, label: str | None = None) -> None:
        self.label = label or pipeline.serving.label
        self.chain = Chain(store.root / pipeline.name / "release" / "ledger.jsonl")
        self.path = self.chain.path

    def of(self, label: str) -> Ledger:
        """The same ledger, whose properties tell of the moves of another label."""
        other = copy(self)
        other.label = label
        return other

    def entries(self) -> list[dict[str, Any]]:
        """All lines.

        Raises:
            StoreCorrupted: naming the line that is not as it was written.
        """
        return list(self.chain.read().lines)

    def warn_of_torn_line(self) -> None:
        """Log that a writer was killed in the middle of a line, if one was; that line says nothing.

        Raises:
            StoreCorrupted: as in `entries`.
        """
        reading = self.chain.read()
        if reading.torn:
            log.warning(
                "%s ends in a torn line of %d bytes after line %d: a writer was killed; the next move sets "
                "it aside",
                self.path,
                len(reading.torn),
                len(reading.lines),
            )

    def append(self, event: Event, move: Move) -> None:
        """Add a line, unless it says what the last one says: then this is a retry."""
        self._append({"event": event, **move.as_json()})

    def record(self, move: Move, *, aliased: bool = True) -> None:
        """Say that the label has moved, and whether the registry's alias has followed."""
        self._append({"event": "moved", **move.as_json(), "alias": aliased})

    def note(self, move: Move) -> None:
        """Say what was decided about a version, where no label moves to another."""
        self._append({"event": "noted", **move.as_json()})

    def arrive(self, lost: Mapping[str, Any]) -> None:
        """Say of a move that was lost on the way that the label had moved all the same."""
        said = {name: value for name, value in lost.items() if name not in PLACE}
        self._append({**said, "event": "moved", "alias": False})

    def finish(self, lost: Mapping[str, Any]) -> None:
        """Say of a move that was lost on the way, or whose alias stayed behind, that all of it is done."""
        said = {name: value for name, value in lost.items() if name not in PLACE}
        event = "moved" if lost["event"] == "moving" else "settled"
        self._append({**said, "event": event, "alias": True})

    @property
    def on_the_way(self) -> dict[str, Any] | None:
        """The last line of a move that has not come to its end in all places; None if there is none."""
        moves = self._moves()
        if moves and (moves[-1]["event"] == "moving" or moves[-1].get("alias") is False):
            return moves[-1]
        return None

    @property
    def left_behind(self) -> dict[str, Any] | None:
        """The last move, if it came to its end without MLflow: its alias has yet to follow."""
        last = self.on_the_way
        return last if last and last["event"] == "moved" else None

    @property
    def last_move(self) -> dict[str, Any] | None:
        """The line of the last move that came to its end; None if there was none."""
        done = [entry for entry in self._moves() if entry["event"] == "moved"]
        return done[-1] if done else None

    @property
    def last_served(self) -> int | None:
        """The version of the last move that came to its end."""
        last = self.last_move
        return last["to"] if last else None

    def has_served(self, version: int) -> bool:
        """Whether any label has ever named this version."""
        return any(entry["event"] == "moved" and entry["to"] == version for entry in self.entries())

    def _moves(self) -> list[dict[str, Any]]:
        return [entry for entry in self.entries() if entry["event"] in MOVES and entry["label"] == self.label]

    def _append(self, said: dict[str, Any]) -> None:
        entries = self.entries()
        if entries and said.items() <= entries[-1].items():
            return
        self.chain.append({**said, "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds")})


def check_reason(reason: str) -> str:
    """A reason that a person gives, without the space around it.

    Raises:
        Misconfigured: if it is empty, or longer than a ledger's line should be.
    """
    text = reason.strip()
    if not text or len(text) > MAX_REASON:
        raise Misconfigured(
            f"the reason has {len(text)} characters; expected 1 to {MAX_REASON}. Say in a sentence why, for "
            "it is all that the ledger will know of it."
        )
    return text


def current_user() -> str:
    """The user of the operating system that runs this process."""
    user = os.getuid()
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        # A container may run under a user id that no account has.
        return f"uid {user}"
