"""The canary becomes stable: all users are answered by it, and the trial ends.

The actions of a roll-back (`ml.release.rollback`) in the other direction: load it on stable's server beside
what serves, ask its golden requests, announce, move the label, move the alias, record. Only then the canary
loses its share and its label, so that no request meets a version that is not there. As in a roll-back neither
TensorFlow nor MLflow is imported before the label has moved.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from functools import partial

from ml.connections import MlflowConnection, ServingConnection
from ml.errors import Misconfigured, Withheld
from ml.release.fence import JUDGE_TRIAL_AGAIN
from ml.release.ledger import Move
from ml.release.production import Records, publication_lock
from ml.release.rollback import RolledBack, WayBack
from ml.release.rollout.tracks import Tracks
from ml.release.rollout.trial import end_trial, find_own_trial, unload_canary
from ml.release.server import ModelServer
from ml.release.staging import WARMUP, stage
from ml.release.versions import Version
from ml.release.wish import Wish

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """What was decided about a canary.

    Attributes:
        version: the canary.
        stable: the version that it was compared with.
        wish: who decided, why, and on what evidence.
    """

    version: int
    stable: int | None
    wish: Wish


def promote_canary(
    verdict: Verdict, records: Records, tracks: Tracks, mlflow: MlflowConnection
) -> RolledBack:
    """Let the canary answer all users. To repeat it does nothing, or goes on where it was lost.

    Raises:
        Withheld: if it is not on trial, was rolled back, or another version than it was compared with is
            served now.
        NotServable: if stable's server cannot load it, or it answers otherwise than it was known to.
        Unavailable: if stable's server does not answer.
    """
    setting = records.pipeline.serving
    with (
        records.store.lock(publication_lock(tracks.stable)),
        ModelServer(tracks.stable, setting.model) as server,
    ):
        served = records.served(server.rest)
        version = _admit(verdict, served, records)
        plan = _plan(verdict.wish, version, served, records)
        way = Promotion(records, server, mlflow, plan, tried_on=tracks.canary)
        if not way.is_done():
            way.run()
        end_trial(version.number, records, tracks, mlflow)
    unload_canary(version.number, records, tracks)
    return RolledBack(version.number, way.move.previous, way.aliased, way.difference)


@dataclass(kw_only=True)
class Promotion(WayBack):
    """One promotion, under the lock of stable's server.

    Attributes:
        tried_on: the canary's model server.
    """

    tried_on: ServingConnection

    def stage(self) -> None:
        """Complete the version's directory, with the requests that warmed it up as the canary."""
        number = self.move.version.number
        warmup = self.tried_on.version_directory(self.server.model, number) / WARMUP
        write_warmup = partial(shutil.copyfile, warmup) if warmup.exists() else None
        stage(self.records.store, self.move.version.model, self.server.directory(number), write_warmup)


def _admit(verdict: Verdict, served: Version | None, records: Records) -> Version:
    if served is not None and served.number == verdict.version:
        return served
    version = find_own_trial(records, verdict.version).version
    try:
        records.admit(version, verdict.stable, served, JUDGE_TRIAL_AGAIN)
    except Withheld as withheld:
        take_back = f'python -m ml rollout withdraw --pipeline {records.pipeline.name} --reason "…"'
        said = str(withheld).rstrip(".")
        raise Withheld(
            f"{said}. Meanwhile {version.number} stays on trial; or take it back: {take_back}"
        ) from withheld
    return version


def _plan(wish: Wish, version: Version, served: Version | None, records: Records) -> Move:
    """The promotion, or the same one if it was lost after the label had moved."""
    if served is None:
        raise Misconfigured(
            f"{records.pipeline.name} has a canary and serves nothing to all others; expected a stable "
            "version. Restore the model server's config."
        )
    ledger, lost = records.ledger, records.ledger.on_the_way
    previous = served.number
    if lost and lost["to"] == version.number:
        previous = lost["from"]
    elif lost and lost["event"] == "moving" and lost["to"] == served.number:
        ledger.arrive(lost)
    return Move("promote", ledger.label, version, previous, wish.who, wish.reason, evidence=wish.evidence)
