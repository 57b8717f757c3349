"""A blessed version on its way to a few users: the push of a pipeline that has a canary.

The same actions as a publication (`ml.release.publication`), on the canary's server and label, and one more
at the end: the router gives the canary its share. Stable's label stays, and so does what it names.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ml.connections import MlflowConnection, ServingConnection
from ml.errors import Withheld
from ml.release.ledger import Ledger
from ml.release.model_config import Entry
from ml.release.production import Records
from ml.release.publication import COMMITMENT, Publication, Published
from ml.release.push import Push
from ml.release.registry import Registry
from ml.release.rollout.tracks import Tracks, canary_of
from ml.release.rollout.trial import find_trial
from ml.release.router import set_share
from ml.release.server import ModelServer
from ml.release.tracking import open_mlflow
from ml.release.versions import Version

log = logging.getLogger(__name__)


def start_canary(
    push: Push, judged_against: int | None, records: Records, tracks: Tracks, mlflow: MlflowConnection
) -> Published:
    """Show a blessed version to the canary's share of the users if the fence lets it through.

    A version on trial whose watermark is older makes room: the newer one draws other users. To repeat a
    start that was lost goes on with it.

    Raises:
        Withheld: as in a publication, or if a version that is as new is on trial already.
        NotServable: if the canary's server cannot load it, or it answers otherwise than offline.
        Unavailable: if a server or MLflow does not answer.
    """
    setting, store = records.pipeline.serving, records.store
    version = records.versions.allot(push.model, store.manifest(push.model).identity.window)
    with (
        tracks.lock(store),
        ModelServer(tracks.stable, setting.model) as stable,
        ModelServer(tracks.canary, setting.model) as server,
        open_mlflow(mlflow) as client,
    ):
        registry = Registry(client, setting.model)
        registry.find_logged(push.model["digest"])
        served = records.settle(stable.rest, registry)
        if served is not None and served.number == version.number:
            log.info("version %d is served to all already", version.number)
            return Published(version, {})
        _check(version, judged_against, served, records)
        previous = _previous(version, records, server)
        start = CanaryStart(push, records, server, registry, version, previous, router=tracks.stable)
        start.run()
    return Published(version, start.differences)


def _check(version: Version, judged_against: int | None, served: Version | None, records: Records) -> None:
    records.admit(version, judged_against, served)
    trial = find_trial(records)
    if trial and trial.version.number != version.number and version.watermark <= trial.version.watermark:
        raise Withheld(
            f"not published, STALE: {trial.version.number} is on trial and has seen data up to "
            f"{trial.version.watermark:%Y-%m-%d %H:%M} UTC, {version.number} up to "
            f"{version.watermark:%Y-%m-%d %H:%M} UTC. Only a newer watermark takes its place: python -m ml "
            f"rollout withdraw --pipeline {records.pipeline.name} ends the trial."
        )


def _previous(version: Version, records: Records, server: ModelServer) -> int | None:
    """The version that the canary's label names, or named before a start that was lost."""
    label = canary_of(records.pipeline).label
    lost = Ledger(records.pipeline, records.store, label).on_the_way
    named = server.rest.labelled_version(label)
    return lost["from"] if lost and lost["to"] == named == version.number else named


@dataclass(kw_only=True)
class CanaryStart(Publication):
    """One model on its way to the canary track, under the locks of both servers.

    Attributes:
        router: the connection whose directory the router reads its route from.
    """

    router: ServingConnection

    @property
    def label(self) -> str:
        """The canary's."""
        return canary_of(self.records.pipeline).label

    def run(self) -> None:
        """Publish it to the canary's label; only what is on record there gets its share of the users."""
        trial = find_trial(self.records)
        if self._has_arrived():
            self._do(COMMITMENT)
        elif trial is None or not trial.version.number == self.version.number == self.previous:
            super().run()
        share = canary_of(self.records.pipeline).share
        log.info("version %d: %.1f %% of the users", self.version.number, share * 100)
        set_share(self.records.pipeline, self.router, share, self.version.number)

    def _has_arrived(self) -> bool:
        """Whether an earlier try was lost after its label had moved.

        It had been asked by then, and the canary before is unloaded: no label can go back to it.
        """
        named = self.server.rest.labelled_version(self.label)
        return self.previous != named == self.version.number

    def moved_entry(self) -> Entry:
        """The canary that was on trial before makes room; all other versions stay loaded."""
        entry = self.server.entry().labelled(self.version.number, self.label)
        if self.previous is None or self.previous == self.version.number:
            return entry
        return entry.without(self.previous, self.label, self.version.number)
