"""What may go and what stays, each with its reason. Nothing is changed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ml.config import Pipeline
from ml.housekeeping.holdings import (
    Holding,
    find_partials,
    marked_use,
    reachable,
    read_holdings,
    referrers_first,
)
from ml.housekeeping.limits import limit_of
from ml.store import PARTIAL, Store

# A writer without its lock is dead. The day is for a person who wants to look at the remains.
LEFTOVER_AGE = timedelta(days=1)


@dataclass(frozen=True)
class Outgoing:
    """Something that may go.

    Attributes:
        name: an artifact's address, a version, or the path of what a lost writer left behind.
        bytes: on disk.
        reason: why it may go.
        day: an artifact's, ISO 8601, in the pipeline's time zone.
    """

    name: str
    bytes: int
    reason: str
    day: str = ""


@dataclass(frozen=True)
class Plan:
    """What may go of one pipeline, and why the rest stays.

    Attributes:
        pipeline: its name.
        at: when it was made.
        artifacts: in the order in which they may go: nothing before what refers to it.
        holdings: every artifact that there is.
        leftovers: directories of lost writers.
        versions: on model servers' disks.
        kept_versions: version → why it stays.
        kept: reason → how many artifacts stay for it.
    """

    pipeline: str
    at: datetime
    artifacts: tuple[Outgoing, ...]
    holdings: Mapping[str, Holding] = field(repr=False)
    leftovers: tuple[Outgoing, ...] = ()
    versions: tuple[Outgoing, ...] = ()
    kept_versions: Mapping[int, str] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)

    @property
    def outgoing(self) -> tuple[Outgoing, ...]:
        """All that may go, in order."""
        return (*self.versions, *self.leftovers, *self.artifacts)

    def as_json(self) -> dict[str, Any]:
        """For XCom, and for `ml.housekeeping.page`."""
        return {
            "pipeline": self.pipeline,
            "at": self.at.isoformat(timespec="seconds"),
            "outgoing": [vars(one) for one in self.outgoing],
            "kept_versions": {str(number): reason for number, reason in self.kept_versions.items()},
            "kept": dict(self.kept),
        }


def plan_artifacts(
    pipeline: Pipeline,
    holdings: Mapping[str, Holding],
    roots: Mapping[str, str],
    evidence: Mapping[str, str],
    now: datetime,
) -> tuple[tuple[Outgoing, ...], dict[str, int]]:
    """Decide about every artifact of a pipeline.

    Args:
        pipeline: the settings.
        holdings: every artifact by its address.
        roots: address → why it stays, whatever its age, with all that it was made from.
        evidence: address → why it stays, whatever its age and whatever becomes of what it was made from.
        now: the time that limits are counted back from.

    Returns:
        What may go, referrers first; and reason → how many artifacts stay for it.
    """
    alone = {uri: reason for uri, reason in evidence.items() if uri in holdings}
    held = {**alone, **find_held(pipeline, holdings, roots, now)}
    free = {uri: holding for uri, holding in holdings.items() if uri not in held}
    outgoing = (
        Outgoing(
            holding.uri, holding.bytes, _why_it_goes(holding, pipeline), pipeline.name_of(holding.window)
        )
        for holding in referrers_first(free)
    )
    return tuple(outgoing), dict(Counter(held.values()))


def find_held(
    pipeline: Pipeline, holdings: Mapping[str, Holding], roots: Mapping[str, str], now: datetime
) -> dict[str, str]:
    """Address → why it stays: the roots, what is not old enough, and all that either was made from."""
    held: dict[str, str] = {}
    snapshots: dict[str, str] = {}
    starts = dict(roots)
    for uri, holding in holdings.items():
        limit = limit_of(holding, pipeline)
        if limit is None:
            starts.setdefault(uri, f"housekeeping knows no limit for {holding.address.kind}")
        elif not limit.is_over(holding, now):
            (starts if limit.holds else snapshots).setdefault(uri, str(limit))
    for uri, reason in starts.items():
        held |= {other: reason for other in reachable([uri], holdings) if other not in held}
    return {**snapshots, **held}


def plan_leftovers(store: Store, pipeline: str, now: datetime) -> tuple[Outgoing, ...]:
    """What writers left behind that were lost at least a day ago."""
    found = []
    for path in find_partials(store, pipeline):
        with store.lock_if_free(lock_of(store, path)) as free:
            if free and path.exists() and (since := marked_use(path)) + LEFTOVER_AGE <= now:
                reason = f"its writer was lost on {since:%Y-%m-%d}, before it was done"
                found.append(Outgoing(str(path.relative_to(store.root)), measure(path), reason))
    return tuple(found)


def lock_of(store: Store, path: Path) -> str:
    """The name of the lock that an artifact's writer holds, from its finished or unfinished directory."""
    return str(path.relative_to(store.root)).removesuffix(PARTIAL)


def measure(path: Path) -> int:
    """Bytes of the files below a directory."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def read_plan(
    pipeline: Pipeline, store: Store, roots: Mapping[str, str], evidence: Mapping[str, str], now: datetime
) -> Plan:
    """Plan what may go of the store; versions are none of this.

    Raises:
        StoreCorrupted: if a manifest cannot be read: nobody knows what it refers to.
    """
    holdings = read_holdings(store, pipeline.name)
    artifacts, kept = plan_artifacts(pipeline, holdings, roots, evidence, now)
    leftovers = plan_leftovers(store, pipeline.name, now)
    return Plan(pipeline.name, now, artifacts, holdings, leftovers, kept=kept)


def _why_it_goes(holding: Holding, pipeline: Pipeline) -> str:
    limit = limit_of(holding, pipeline)
    return f"last used on {holding.last_used:%Y-%m-%d}; {limit}, and nothing that stays was made from it"
