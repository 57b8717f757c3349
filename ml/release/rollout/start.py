"""A blessed version on its way to a few users: the push of a pipeline that has a canary.

The same actions as a publication (`ml.release.publication`), on the canary's server and label, and one more
at the end: the router gives the canary its share. Stable's label stays, and so does what it names.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from ml.connections import MlflowConnection, ServingConnection
from ml.errors import Unavailable, Withheld
from ml.release.ledger import Ledger
from ml.release.model_config import Entry
from ml.release.production import Records, publication_lock
from ml.release.publication import Publication, Published
from ml.release.push import Push
from ml.release.registry import Registry
from ml.release.rollout.tracks import Tracks, canary_of
from ml.release.rollout.trial import find_trial
from ml.release.router import route_lock, set_share
from ml.release.server import ModelServer
from ml.release.tracking import open_mlflow
from ml.release.versions import Version

log = logging.getLogger(__name__)


def start_canary(
    push: Push, judged_against: int | None, records: Records, tracks: Tracks, mlflow: MlflowConnection
) -> Published:
    """Show a blessed version to the canary's share of the users if the fence lets it through.

    A version on trial whose watermark is older makes room: the newer one draws other users. To repeat a
    start that was lost goes on with it. While the canary's server loads, stable's lock is free, and users
    can go back; what has changed by then is seen under both locks, before the label moves.

    Raises:
        Withheld: as in a publication, or if a version that is as new is on trial already.
        NotServable: if the canary's server cannot load it, or it answers otherwise than offline.
        Unavailable: if a server or MLflow does not answer.
    """
    setting, store = records.pipeline.serving, records.store
    version = records.versions.allot(push.model, store.manifest(push.model).identity.window)
    with (
        ModelServer(tracks.stable, setting.model) as stable,
        ModelServer(tracks.canary, setting.model) as server,
        open_mlflow(mlflow, "short") as client,
    ):
        registry = Registry(client, setting.model)
        registry.find_logged(push.model["digest"])
        start = partial(CanaryStart, push, records, server, registry, version, router=tracks.stable)
        with store.lock(publication_lock(tracks.stable)):
            if not _is_due(version, judged_against, records.settle(stable.rest, registry), records):
                return Published(version, {})
        with store.lock(publication_lock(tracks.canary)):
            preparation = start(_previous(version, records, server))
            preparation.prepare()
        with tracks.lock(store):
            commitment = start(_previous(version, records, server))
            with commitment.undone_if_withheld():
                is_due = _is_due(version, judged_against, records.settle(stable.rest, registry), records)
            if is_due:
                commitment.commit()
    return Published(version, preparation.differences)


def _is_due(version: Version, judged_against: int | None, served: Version | None, records: Records) -> bool:
    """Whether it may be shown; False if all users have it already."""
    if served is not None and served.number == version.number:
        log.info("version %d is served to all already", version.number)
        return False
    _check(version, judged_against, served, records)
    return True


def _check(version: Version, judged_against: int | None, served: Version | None, records: Records) -> None:
    records.admit(version, judged_against, served)
    trial = find_trial(records)
    if trial and trial.version.number != version.number and version.watermark <= trial.version.watermark:
        raise Withheld(
            f"not published, STALE: {trial.version.number} is on trial and has seen data up to "
            f"{trial.version.watermark:%Y-%m-%d %H:%M} UTC, {version.number} up to "
            f"{version.watermark:%Y-%m-%d %H:%M} UTC. Only a newer watermark takes its place. To end "
            f'the trial: python -m ml rollout withdraw --pipeline {records.pipeline.name} --reason "…"'
        )


def _previous(version: Version, records: Records, server: ModelServer) -> int | None:
    """The version that the canary's label names, or named before a start that was lost."""
    label = canary_of(records.pipeline).label
    lost = Ledger(records.pipeline, records.store, label).on_the_way
    named = server.rest.labelled_version(label)
    return lost["from"] if lost and lost["to"] == named == version.number else named


@dataclass(kw_only=True)
class CanaryStart(Publication):
    """One model on its way to the canary track: prepared under its server's lock, committed under both.

    Attributes:
        router: the connection whose directory the router reads its route from.
    """

    router: ServingConnection

    @property
    def label(self) -> str:
        """The canary's."""
        return canary_of(self.records.pipeline).label

    def prepare(self) -> None:
        """Have it loaded and asked, unless an earlier try has come further than that."""
        if not self._has_arrived() and not self._is_on_trial():
            super().prepare()

    def commit(self) -> None:
        """Move the canary's label; only what is on record there gets its share of the users.

        Raises:
            Unavailable: also if somebody has unloaded the version since it was asked.
        """
        if not self._is_on_trial():
            self._check_loaded()
            super().commit()
        share, pipeline = canary_of(self.records.pipeline).share, self.records.pipeline
        log.info("version %d: %.1f %% of the users", self.version.number, share * 100)
        with self.records.store.lock(route_lock(pipeline)):
            set_share(pipeline, self.router, share, self.version.number)

    @contextmanager
    def undone_if_withheld(self) -> Iterator[None]:
        """Unload what is not to be shown any more, as things stand by now."""
        try:
            yield
        except Withheld:
            if not self._has_arrived() and not self._is_on_trial():
                self._withdraw()
            raise

    def _is_on_trial(self) -> bool:
        trial = find_trial(self.records)
        return trial is not None and trial.version.number == self.version.number == self.previous

    def _has_arrived(self) -> bool:
        """Whether an earlier try was lost after its label had moved.

        It had been asked by then, and the canary before is unloaded: no label can go back to it.
        """
        named = self.server.rest.labelled_version(self.label)
        return self.previous != named == self.version.number

    def _check_loaded(self) -> None:
        number = self.version.number
        if number not in self.server.entry().versions or not self.server.rest.is_available(number):
            raise Unavailable(
                f"version {number} was loaded for the canary's users, and somebody has unloaded it before "
                "their label moved; users are answered as before. Try again."
            )

    def moved_entry(self) -> Entry:
        """The canary that was on trial before makes room; all other versions stay loaded."""
        entry = self.server.entry().labelled(self.version.number, self.label)
        if self.previous is None or self.previous == self.version.number:
            return entry
        return entry.without(self.previous, self.label, self.version.number)
