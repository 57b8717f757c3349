"""One day's steps by the identities that they would use, held against the store without running any.

An artifact whose inputs are all there is looked up. One with an input that would be new has no known
identity yet: it would be new too. One behind a rejected day would not be made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ml.artifact import Artifact
from ml.backfill.archive import Archive
from ml.backfill.reasons import explain_new, explain_removal
from ml.day import Day
from ml.decisions import Decision
from ml.errors import DataRejected
from ml.identities import identify_offsets
from ml.manifest import Identity
from ml.removal import Address, last_removal

KEPT: Literal["kept"] = "kept"
NEW: Literal["new"] = "new"
NOT_MADE: Literal["not made"] = "not made"
DATA = ("examples", "statistics", "anomalies")


@dataclass(frozen=True)
class Link:
    """What would come of one artifact of a day.

    Attributes:
        kind: the artifact's.
        outcome: whether it is there and kept, would be made, or would not be made.
        why: in words; empty if it is kept.
        cause: whether it would be new for a reason of its own, not because an input would be.
        artifact: if it is kept.
        commit: that made it, if it is kept and that is known.
        rejected: the name of the error that the day stops with here; empty if it goes on.
    """

    kind: str
    outcome: Literal["kept", "new", "not made"]
    why: str = ""
    cause: bool = False
    artifact: Artifact | None = None
    commit: str | None = None
    rejected: str = ""


class Chain:
    """The links of one day, in the order of the steps.

    Args:
        day: which.
        archive: of its pipeline.
        decision: how it would be landed, other than by the rule.
    """

    def __init__(self, day: Day, archive: Archive, decision: Decision) -> None:
        self.day = day
        self.decision = decision
        self.links: dict[str, Link] = {}
        self._archive = archive

    def look(self, kind: str, inputs: Sequence[str], identify: Callable[..., Identity]) -> Link:
        """Follow the links of its inputs, kinds of this day, to an artifact's own."""
        links = [self.links[one] for one in inputs]
        known = follow(kind, links)
        self.links[kind] = known or self.find(identify(self.day, *(one.artifact for one in links)))
        return self.links[kind]

    def find(self, identity: Identity) -> Link:
        """The link of an artifact whose identity is known."""
        if artifact := self.day.store.find(identity):
            return Link(identity.kind, KEPT, artifact=artifact, commit=self._archive.commit_of(identity))
        last = self._archive.newest(identity.kind, self.day.window)
        return Link(identity.kind, NEW, explain_new(identity, last, self.day.store.root), cause=True)

    def reject(self, kind: str, error: DataRejected) -> None:
        """Note that the day would stop behind this artifact."""
        self.links[kind] = replace(self.links[kind], rejected=type(error).__name__)

    def known(self, kind: str) -> Mapping[str, Any]:
        """Facts and measurements of an artifact that is kept; none of another."""
        artifact = self.links[kind].artifact
        return self.day.store.manifest(artifact).known if artifact else {}

    def removal(self) -> str:
        """When and why housekeeping took the day's examples; empty if there are some, or never were any."""
        if self._archive.newest("examples", self.day.window):
            return ""
        examples = replace(Address.of(identify_offsets(self.day).uri), kind="examples")
        removal = last_removal(self.day.store.root, examples)
        return explain_removal(removal) if removal else ""

    def caveats(self) -> list[str]:
        """What a person accepted about the day's examples, if they are kept."""
        artifact = self.links["examples"].artifact
        return self.day.store.manifest(artifact).caveats if artifact else []

    def content(self, kind: str) -> Any:
        """The JSON of an artifact that is kept; None of another."""
        artifact = self.links[kind].artifact
        return self.day.store.read_json(artifact) if artifact else None

    @property
    def rejected(self) -> str:
        """The name of the error that the day would stop with; empty if none is foreseen."""
        return next((link.rejected for link in self.links.values() if link.rejected), "")

    @property
    def new(self) -> list[Link]:
        """What would be made."""
        return [link for link in self.links.values() if link.outcome == NEW]

    @property
    def data_is_new(self) -> bool:
        """Whether the day would be landed, described or checked anew, and so what another learns from it."""
        return any(link.kind in DATA for link in self.new) and not self.rejected


def follow(kind: str, inputs: Sequence[Link]) -> Link | None:
    """The link that follows from its inputs alone; None if all of them are there and let the day go on."""
    for one in inputs:
        if one.rejected or one.outcome == NOT_MADE:
            return Link(kind, NOT_MADE, one.rejected or one.why)
    for one in inputs:
        if one.outcome == NEW:
            return Link(kind, NEW, f"{one.kind} would be new")
    return None
