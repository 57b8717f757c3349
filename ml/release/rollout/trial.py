"""Which version is on trial as the canary, and the end of a trial."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml.connections import MlflowConnection
from ml.errors import RetrainingError, Withheld
from ml.release.history import Line, arrivals, canary_on_trial
from ml.release.ledger import Ledger
from ml.release.mirror import tell_registry
from ml.release.production import Records, publication_lock
from ml.release.rollout.tracks import Tracks, canary_of
from ml.release.router import set_share
from ml.release.server import ModelServer
from ml.release.versions import Version

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """A version on trial.

    Attributes:
        version: the canary.
        stable: what it is compared with; None if the ledger knows of nothing.
        since: from when on the two of them have answered side by side.
    """

    version: Version
    stable: int | None
    since: datetime


def find_trial(records: Records, other_than: int | None = None) -> Trial | None:
    """The trial that the ledger knows of; None without one, or if it is that of ``other_than``."""
    line = canary_on_trial(records.ledger.entries(), canary_of(records.pipeline).label)
    return None if line is None or line["to"] == other_than else _trial(line, records)


def find_last_trial(records: Records) -> Trial | None:
    """The trial that is on or, if none is, the last one: its end may have been lost half-way."""
    moved = Ledger(records.pipeline, records.store, canary_of(records.pipeline).label).last_move
    return _trial(moved, records) if moved else None


def find_own_trial(records: Records, version: int) -> Trial:
    """The trial of this version.

    Raises:
        Withheld: if it is not on trial.
    """
    trial = find_trial(records)
    if trial is None or trial.version.number != version:
        other = f"{trial.version.number} is" if trial else "no version is"
        raise Withheld(
            f"version {version} of {records.pipeline.name} is not on trial any more: {other}. Serving stays "
            "as it is; the ledger says what became of it."
        )
    return trial


def end_trial(version: int, records: Records, tracks: Tracks, mlflow: MlflowConnection) -> None:
    """Leave the canary without users and alias, under the publication lock of stable's server.

    Where this is repeated late and another version is on trial by now, that one's users and alias are left
    alone.
    """
    label, setting = canary_of(records.pipeline).label, records.pipeline.serving
    if find_trial(records, other_than=version) is None:
        set_share(records.pipeline, tracks.stable, 0.0)
        left = f"the registry's alias {label} is left as it is; the next canary takes it over"
        tell_registry(lambda registry: registry.drop_alias(label), setting.model, mlflow, left)


def unload_canary(version: int, records: Records, tracks: Tracks) -> bool:
    """Take label and version off the canary's server once no user is sent there; under that one's lock alone.

    It may be dead, and that may be why the trial has ended. Its config is written all the same, so that the
    version does not come back with it. Nobody who holds stable's lock may wait for it.

    Returns:
        Whether the canary's server has taken it.
    """
    label, setting = canary_of(records.pipeline).label, records.pipeline.serving
    try:
        with (
            records.store.lock(publication_lock(tracks.canary)),
            ModelServer(tracks.canary, setting.model) as server,
        ):
            if (trial := find_trial(records)) and trial.version.number == version:
                log.info("version %d is on trial again, and stays", version)
                return False
            # Also if the file has it: an earlier try may have been killed before the server read it.
            entry = server.entry()
            other = None if (named := entry.labels.get(label)) == version else named
            server.apply(entry.without(version, label, other), setting.ready_seconds)
    except RetrainingError as error:
        log.warning(
            "the canary's server has not unloaded version %d, but no user reaches it: %s", version, error
        )
        return False
    return True


def describe_trial(trial: Trial) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "version": trial.version.number,
        "stable": trial.stable,
        "since": trial.since.isoformat(timespec="seconds"),
    }


def _trial(line: Line, records: Records) -> Trial | None:
    version = records.versions.find(line["to"])
    if version is None:
        return None
    lines, label = records.ledger.entries(), records.pipeline.serving.label
    moments = [arrival.moved_at for arrival in arrivals(lines, label) if arrival.moved_at]
    return Trial(version, records.ledger.last_served, max([datetime.fromisoformat(line["time"]), *moments]))
