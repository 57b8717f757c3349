"""Publishing one model: actions that each may be repeated, in the order in which they are safe.

| action | after it | if the process is lost after it |
|---|---|---|
| stage | the version's directory is complete; no server looks at it | the next try finds it |
| load | the version answers by its number, beside the served one | the next try loads it again |
| ask_golden | its answers are known to be those of the offline model | they are asked again |
| announce | the ledger says that the label is about to move | the label is where it was |
| move_label | users are answered by the version | the next push or resolve_production goes on |
| move_alias | MLflow says the same | the same |
| record | the ledger says that it is done | nothing is left to do |

What fails up to ask_golden is undone, and the version before answers throughout. What fails after it needs
no undoing: both versions are good and loaded, and the next try goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np

from ml.config import Serving
from ml.connections import MlflowConnection, ServingConnection
from ml.errors import RetrainingError
from ml.features.requests import to_tensors
from ml.features.scoring import load_scorer
from ml.release.golden import ask_golden, read_rows
from ml.release.label_move import LabelMove
from ml.release.ledger import MAX_REASON, Move, current_user
from ml.release.production import Records, publication_lock
from ml.release.push import Push
from ml.release.registry import Registry
from ml.release.run_labels import shorten
from ml.release.server import ModelServer
from ml.release.staging import stage, unstage, write_warmup
from ml.release.tracking import open_mlflow
from ml.release.versions import Version

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """What came of a push.

    Attributes:
        version: what is served.
        differences: face of the server → largest difference of a golden answer from the offline score;
            empty if the version was served already.
    """

    version: Version
    differences: dict[str, float]


def publish(
    push: Push,
    judged_against: int | None,
    records: Records,
    serving: ServingConnection,
    mlflow: MlflowConnection,
) -> Published:
    """Put a blessed model into service if the fence lets it through; see `ml.release.push.push_model`."""
    setting, store = records.pipeline.serving, records.store
    version = records.versions.allot(push.model, store.manifest(push.model).identity.window)
    with (
        store.lock(publication_lock(serving)),
        ModelServer(serving, setting.model) as server,
        open_mlflow(mlflow, "short") as client,
    ):
        registry = Registry(client, setting.model)
        registry.find_logged(push.model["digest"])
        served = records.settle(server.rest, registry)
        if served is not None and served.number == version.number:
            log.info("version %d is served already", version.number)
            return Published(version, {})
        records.admit(version, judged_against, served)
        publication = Publication(push, records, server, registry, version, judged_against)
        publication.run()
    return Published(version, publication.differences)


@dataclass
class Publication(LabelMove):
    """One model on its way to one model server, under the publication lock.

    Attributes:
        push: what is published, and the rows to ask for.
        records: numbers and ledger.
        server: where it goes.
        registry: where the alias is.
        version: the number that it is served by.
        previous: the version that is served before; None if none is.
        differences: face of the server → largest difference from the offline scores.
    """

    push: Push
    records: Records
    server: ModelServer
    registry: Registry
    version: Version
    previous: int | None
    differences: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Do every action; undo the preparation if it fails.

        Raises:
            LoadFailed: if the server cannot load the version.
            WrongAnswers: if it answers otherwise than offline.
            Unavailable: if server or registry do not answer, or not in time.
        """
        self.prepare()
        self.commit()

    def prepare(self) -> None:
        """Have it loaded and asked, beside what serves; undo that if it fails. Raises as `run`."""
        try:
            self._do(PREPARATION)
        except Exception:
            self._withdraw()
            raise

    def commit(self) -> None:
        """Let users have it. Raises Unavailable, after which the next try goes on."""
        self._do(COMMITMENT)

    def stage(self) -> None:
        """Complete the version's directory."""
        target, count = self.server.directory(self.version.number), self._setting.warmup_requests
        warmup = partial(write_warmup, model=self.server.model, columns=self._columns, count=count)
        stage(self.records.store, self.push.model, target, warmup if count else None)

    def ask_golden(self) -> None:
        """Ask the version by its number for rows with known answers."""
        columns = {name: values[: self._setting.golden_requests] for name, values in self._columns.items()}
        saved_model = self.records.store.open(self.push.model) / "saved_model"
        expected = load_scorer(saved_model)(columns)
        self.differences = ask_golden(self.version.number, expected, columns, self.server)
        self.records.known_answers.write(self.version.number, columns, expected)

    def move_alias(self) -> None:
        """Point the registry's ``production`` at the model."""
        self.follow(self.registry)

    @cached_property
    def move(self) -> Move:
        """What moves where, on the gate's word."""
        blessing = self.records.store.read_json(self.push.blessing)
        reasons = [*filter(None, [self.push.approval]), *blessing["reasons"]]
        return Move(
            action="push",
            label=self.label,
            version=self.version,
            previous=self.previous,
            who=self.push.who or current_user(),
            reason=shorten("; ".join(reasons), MAX_REASON),
            verdict=blessing["verdict"],
            evidence=self.push.blessing["uri"],
        )

    @property
    def label(self) -> str:
        """The label that moves: the one that users' requests name."""
        return self._setting.label

    @property
    def _setting(self) -> Serving:
        return self.records.pipeline.serving

    @cached_property
    def _columns(self) -> dict[str, np.ndarray[Any, Any]]:
        pipeline, setting = self.records.pipeline, self._setting
        count = max(setting.golden_requests, setting.warmup_requests)
        return to_tensors(pipeline, read_rows(pipeline, self.push.examples, self.push.holdout, count))

    def _do(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            log.info("version %d: %s", self.version.number, action.__name__.replace("_", " "))
            action(self)

    def _withdraw(self) -> None:
        number = self.version.number
        log.warning("version %d is withdrawn; the version before answers on", number)
        try:
            entry = self.server.entry().without(number, self.label, self.previous)
            self.server.apply(entry, self._setting.ready_seconds)
            if number not in entry.versions and not self.records.ledger.has_served(number):
                unstage(self.server.directory(number))
        except (RetrainingError, OSError) as error:
            log.warning("version %d could not be withdrawn (%s); the next push does it", number, error)


Action = Callable[[Publication], None]
PREPARATION: tuple[Action, ...] = (Publication.stage, Publication.load, Publication.ask_golden)
COMMITMENT: tuple[Action, ...] = (
    Publication.announce,
    Publication.move_label,
    Publication.move_alias,
    Publication.record,
)
