"""Taking artifacts away: first what refers to others, out of sight in one move, then off the disk.

| action | after it | if the process is lost after it |
|---|---|---|
| note | the record says when and why | it counts for nothing while the artifact is there |
| rename | nobody finds it; who has opened a file of it reads on | the next housekeeping deletes it |
| delete | its bytes are gone | the same |
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from ml.durable import sync
from ml.housekeeping.holdings import marked_use, reachable
from ml.housekeeping.plan import Outgoing, Plan, lock_of
from ml.manifest import SCHEME
from ml.removal import Removal, note_removal
from ml.store import Store

TRASH = ".trash"

log = logging.getLogger(__name__)


@dataclass
class Sweep:
    """What came of a plan.

    Attributes:
        removed: what went.
        spared: name → why it stayed after all.
    """

    removed: list[Outgoing] = field(default_factory=list)
    spared: dict[str, str] = field(default_factory=dict)


def remove_artifacts(store: Store, plan: Plan, unmoved: Callable[[], AbstractContextManager[bool]]) -> Sweep:
    """Take away what a plan names, as far as it is still true.

    What a run has used since the plan was made stays, and so does all that it refers to.

    Args:
        store: where it is.
        plan: what may go. Only under the lock of the pipeline's housekeeping.
        unmoved: entered for each removal; keeps what is in service from being moved, and says whether it is
            still what the plan rests on.
    """
    sweep, held = Sweep(), set[str]()
    for one in (*plan.leftovers, *plan.artifacts):
        with unmoved() as still_true:
            if not still_true:
                sweep.spared[one.name] = "a version was moved meanwhile; the next housekeeping looks again"
            elif one.name in held:
                sweep.spared[one.name] = "a run refers to it"
            elif _remove(store, plan, one):
                sweep.removed.append(one)
            else:
                sweep.spared[one.name] = "a run uses it"
                held |= reachable([one.name], plan.holdings)
    empty_trash(store, plan.pipeline)
    return sweep


def empty_trash(store: Store, pipeline: str) -> None:
    """Delete what this or a lost housekeeping has taken out of sight."""
    trash = _trash(store, pipeline)
    if trash.exists():
        shutil.rmtree(trash)


def _remove(store: Store, plan: Plan, one: Outgoing) -> bool:
    """Take one directory out of sight; False if somebody uses it."""
    path = store.root / one.name.removeprefix(SCHEME)
    holding = plan.holdings.get(one.name)
    with store.lock_if_free(lock_of(store, path)) as free:
        if not free or (holding and path.exists() and marked_use(path) > holding.last_used):
            return False
        if path.exists():
            log.info("%s goes: %s", one.name, one.reason)
            if holding:
                at = plan.at.isoformat(timespec="seconds")
                note_removal(store.root, one.name, Removal(at, one.reason, one.day))
            _discard(path, _trash(store, plan.pipeline) / lock_of(store, path).replace("/", "~"))
    return True


def _discard(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    path.rename(target)
    sync(path.parent)


def _trash(store: Store, pipeline: str) -> Path:
    return store.root / TRASH / pipeline
