"""Going back: the label moves to a version that has been served before, in seconds, whatever else is down.

| action | after it | if the process is lost after it |
|---|---|---|
| load | the version answers by its number; nothing is done if it is loaded already | it is found loaded |
| ask | its golden requests are answered as when it was published | they are asked again |
| announce | the ledger says that the label is about to move | the label is where it was |
| move_label | users are answered by the version | resolve_production or the same command goes on |
| move_alias | MLflow says the same, or is left behind | the same |
| record | the ledger says that it is done, and whether the alias has followed | nothing is left to do |

Neither TensorFlow nor MLflow is imported before the label has moved.
MLflow need not answer: the next ``resolve_production`` or ``reconcile`` has the alias follow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from ml.connections import MlflowConnection, ServingConnection
from ml.errors import Removed, RetrainingError
from ml.release.label_move import LabelMove
from ml.release.ledger import Move, check_reason
from ml.release.model_config import Entry
from ml.release.production import Records, publication_lock
from ml.release.registry import Registry
from ml.release.router import close_stray_share
from ml.release.server import ModelServer
from ml.release.staging import stage
from ml.release.wish import Wish, moved_before, plan_move

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RolledBack:
    """What came of a roll-back.

    Attributes:
        version: what is served now.
        previous: what was served before; None if nothing was.
        aliased: whether MLflow says so too.
        difference: largest difference of a golden answer from the known one; None if nothing was asked.
    """

    version: int
    previous: int | None
    aliased: bool
    difference: float | None


def roll_back(
    wish: Wish, records: Records, serving: ServingConnection, mlflow: MlflowConnection
) -> RolledBack:
    """Move the label to a version that has been served before.

    Raises:
        Misconfigured: if there is no such version, or no reason.
        Removed: if housekeeping has taken its model away, with the versions that are left.
        NotServable: if it cannot be loaded, or answers otherwise than when it was published; the label stays.
        Unavailable: if the model server does not answer.
        Withheld: if another version is served by now than the one that was to be left.
    """
    setting = records.pipeline.serving
    check_reason(wish.reason)
    log.info("asking for the lock of the model server's config; a push that is loading a version holds it")
    with records.store.lock(publication_lock(serving)), ModelServer(serving, setting.model) as server:
        served = server.named_version(setting.label)
        if before := moved_before(wish, records):
            log.info("this run has moved the label at %s; nothing is moved again", before["time"])
            return RolledBack(before["to"], before["from"], before["alias"], None)
        wish.check_holds(served)
        way = WayBack(records, server, mlflow, plan_move(wish, records, served))
        close_stray_share(records.pipeline, serving, records.on_trial)
        if not way.is_done():
            way.run()
    return RolledBack(way.move.version.number, way.move.previous, way.aliased, way.difference)


@dataclass
class WayBack(LabelMove):
    """One roll-back, under the publication lock.

    Attributes:
        records: numbers, ledger and known answers.
        server: whose label moves.
        mlflow: where the alias is; asked once the label has moved.
        going: what moves where.
        aliased: whether the alias has followed.
        difference: largest difference of a golden answer from the known one; None if nothing was asked.
    """

    records: Records
    server: ModelServer
    mlflow: MlflowConnection
    going: Move
    aliased: bool = False
    difference: float | None = None

    @property
    def move(self) -> Move:
        """What moves where, and why."""
        return self.going

    def is_done(self) -> bool:
        """Whether the label is there already, and ledger and alias say so too."""
        here, lost = self.move.version, self.ledger.on_the_way
        if not self.move.previous == here.number == self.ledger.last_served or lost:
            return False
        agrees = self._ask_registry(
            lambda registry: registry.aliased_digest(self.alias) == here.model["digest"]
        )
        self.aliased = agrees is True
        return agrees is not False

    def run(self) -> None:
        """Do every action. Until the label moves nothing has changed for users."""
        for action in ACTIONS:
            log.info("version %d: %s", self.move.version.number, action.__name__.replace("_", " "))
            action(self)

    def load(self) -> None:
        """Have the server load the version, unless it answers already and is to stay.

        One that the config names no more answers until the server has come to unload it.
        """
        version = self.move.version
        if version.number in self.server.entry().versions and self.server.rest.is_available(version.number):
            return
        self.stage()
        try:
            super().load()
        except RetrainingError:
            entry = self.server.entry().without(version.number, self.move.label, self.move.previous)
            self.server.apply(entry, self.records.pipeline.serving.ready_seconds)
            raise

    def stage(self) -> None:
        """Complete the version's directory, from the store.

        Raises:
            Removed: if its model is not there any more, with the versions whose files are.
        """
        version, records = self.move.version, self.records
        try:
            stage(records.store, version.model, self.server.directory(version.number))
        except Removed as removed:
            published = records.known_answers.versions()
            there = [number for number in published if self.server.directory(number).exists()]
            raise Removed(
                f"version {version.number} cannot be gone back to any more; users are answered as before. "
                f"{removed} To go back now, choose one whose files are there: {', '.join(map(str, there))}."
            ) from removed

    def ask(self) -> None:
        """Ask the version its golden requests, by its number."""
        self.difference = self.records.known_answers.ask(self.move.version.number, self.server.rest)

    def moved_entry(self) -> Entry:
        """If users' label moves, only the two versions stay loaded; else all that is loaded stays."""
        number, label = self.move.version.number, self.move.label
        if label == self.records.pipeline.serving.label and number != self.move.previous:
            return super().moved_entry()
        return self.server.entry().labelled(number, label)

    def move_alias(self) -> None:
        """Point the registry's alias at the model, if MLflow answers: users are served already."""
        self.aliased = self._ask_registry(self._followed) is True

    def record(self) -> None:
        """Say in the ledger that it is done, and whether the alias has followed."""
        self.ledger.record(self.move, aliased=self.aliased)

    def _followed(self, registry: Registry) -> bool:
        self.follow(registry)
        return True

    def _ask_registry(self, ask: Callable[[Registry], bool]) -> bool | None:
        """Ask MLflow what it would be nice to know or have; None if it does not answer."""
        from ml.release.tracking import open_mlflow

        try:
            with open_mlflow(self.mlflow, "none") as client:
                return ask(Registry(client, self.server.model))
        except RetrainingError as error:
            log.warning("the registry is left as it is for now, and serving goes on without it: %s", error)
            return None


ACTIONS: tuple[Callable[[WayBack], None], ...] = (
    WayBack.load,
    WayBack.ask,
    WayBack.announce,
    WayBack.move_label,
    WayBack.move_alias,
    WayBack.record,
)
