"""The production pointer: the one mutable thing, moved by this package alone.

What serves is what the model server answers with, and nothing else. The registry's alias must agree, and
the ledger knows the one case in which it may not: a push that was lost between the label and the alias.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ml.artifact import Artifact, digest_of
from ml.config import Pipeline
from ml.connections import MlflowConnection, ServingConnection
from ml.errors import Misconfigured, StoreCorrupted
from ml.release.fence import check_fence, check_not_rolled_back, judge_night_again
from ml.release.history import Line, canary_on_trial, rolled_back
from ml.release.known_answers import KnownAnswers
from ml.release.ledger import Ledger
from ml.release.mirror import catch_up
from ml.release.registry import PRODUCTION, Registry
from ml.release.rest import RestServer
from ml.release.router import close_stray_share
from ml.release.versions import Version, Versions
from ml.store import Draft, Store

log = logging.getLogger(__name__)


def publication_lock(serving: ServingConnection) -> str:
    """The name of the lock on a model server's config: whoever reads, compares and writes it holds it."""
    return f"release/{digest_of(str(serving.config_file.absolute()))[:16]}"


@contextmanager
def publication_locks(store: Store, servers: Sequence[ServingConnection]) -> Iterator[None]:
    """Hold the publication lock of each server; the first server is stable's, and its lock is taken last.

    Who has stable's lock waits for no other: a canary's server may hang, and its lock with it, while users
    must be able to go back. So no server may be stable's for one pipeline and a canary's for another.
    """
    with ExitStack() as held:
        for name in dict.fromkeys(map(publication_lock, reversed(servers))):
            held.enter_context(store.lock(name))
        yield


def resolve_production(
    pipeline: Pipeline, serving: ServingConnection, mlflow: MlflowConnection, store: Store, draft: Draft
) -> None:
    """Write ``production.json``: which version is really serving, of which model, trained on what.

    ::

        {"version": 20261120001, "model": {…}, "statistics": [{…}, …],
         "watermark": "2026-11-21T00:00:00+00:00", "pushed_model": {…} or null}

    ``statistics`` are those of the days that the model was trained on. Everything is null, and
    ``statistics`` empty, if no version is served yet.

    Raises:
        Unavailable: if the model server or MLflow does not answer.
        Misconfigured: if label, alias and ledger do not agree, naming what each says.
    """
    from ml.release.tracking import open_mlflow

    with (
        store.lock(publication_lock(serving)),
        RestServer(serving, pipeline.serving.model) as rest,
        open_mlflow(mlflow, "short") as client,
    ):
        records = Records(pipeline, store)
        version = records.settle(rest, Registry(client, pipeline.serving.model))
        close_stray_share(pipeline, serving, records.on_trial)
    _write(version, pipeline, store, draft)


def read_production(pipeline: Pipeline, serving: ServingConnection, store: Store, draft: Draft) -> None:
    """Write ``production.json`` as `resolve_production` does, and finish no push that was lost.

    For a what-if, which touches neither registry nor ledger: what serves is what the label names.

    Raises:
        Unavailable: if the model server does not answer.
        Misconfigured: if it serves a version that was not published from this store.
    """
    with store.lock(publication_lock(serving)), RestServer(serving, pipeline.serving.model) as rest:
        version = Records(pipeline, store).served(rest)
    _write(version, pipeline, store, draft)


@dataclass(frozen=True)
class Records:
    """What this store knows of a pipeline's publications."""

    pipeline: Pipeline
    store: Store

    @property
    def versions(self) -> Versions:
        """The numbers that were allotted."""
        return Versions(self.pipeline, self.store)

    @property
    def ledger(self) -> Ledger:
        """The history of the label."""
        return Ledger(self.pipeline, self.store)

    @property
    def known_answers(self) -> KnownAnswers:
        """What each version must answer."""
        return KnownAnswers(self.pipeline, self.store)

    @property
    def on_trial(self) -> Line | None:
        """The ledger's line that put the version on trial as the canary; None without one."""
        canary = self.pipeline.serving.canary
        return canary_on_trial(self.ledger.entries(), canary.label) if canary else None

    def served(self, rest: RestServer) -> Version | None:
        """The record of the version that users are answered by, asked of the model server.

        Raises:
            Misconfigured: if it was not published from this store.
        """
        return self.identify(rest.labelled_version(self.pipeline.serving.label))

    def identify(self, number: int | None) -> Version | None:
        """The record of the version that users' label names; None for none.

        Raises:
            Misconfigured: if it was not published from this store.
        """
        version = None if number is None else self.versions.find(number)
        if number is not None and version is None:
            raise Misconfigured(
                f"the model server's label {self.pipeline.serving.label} names version {number} of "
                f"{self.pipeline.serving.model}, which was never published from {self.store.root}. Set "
                "RETRAIN_HOME to the store that published it, or move the label back to a version of this "
                f"store (the last one was {self.ledger.last_served})."
            )
        return version

    def settle(self, rest: RestServer, registry: Registry) -> Version | None:
        """What is served, after the move that was lost between label and alias, if any, was finished.

        What the registry has not heard of, because MLflow was away, it is told first.

        Raises:
            Misconfigured: if label, alias and ledger disagree and no lost move explains it. A ledger that was
                set aside knows nothing, and agrees with whatever serves.
            StoreCorrupted: if the ledger is not the one that the registry has followed.
        """
        served = self.served(rest)
        self.check_mirror(registry)
        catch_up(self.ledger, registry)
        digest = served and served.model["digest"]
        aliased = registry.production_digest()
        lost = self.ledger.on_the_way
        if served and lost and lost["to"] == served.number:
            log.warning(
                "the %s of version %d was lost on its way; finishing it", lost["action"], served.number
            )
            registry.follow(lost, PRODUCTION)
            self.ledger.finish(lost)
        elif digest != aliased or self.ledger.last_served not in (None, served and served.number):
            raise self._disagreement(served, aliased, registry.name)
        return served

    def admit(
        self,
        candidate: Version,
        judged_against: int | None,
        served: Version | None,
        judge_again: str = "",
    ) -> None:
        """Let through only what nobody has rolled back, and what the fence lets through.

        Args:
            candidate: what would be served.
            judged_against: the version that it was compared with; None if there was none.
            served: what is served now.
            judge_again: see `check_fence`; by default how a night is judged again.

        Raises:
            Withheld: as `ml.release.fence` says.
        """
        check_not_rolled_back(candidate, rolled_back(self.ledger.entries()), self.pipeline.name)
        again = judge_again or judge_night_again(self.pipeline, candidate)
        check_fence(candidate, judged_against, served, again)

    def check_mirror(self, registry: Registry) -> None:
        """Check that the line which the registry followed last is in the ledger, as it was then.

        Raises:
            StoreCorrupted: if it is not.
        """
        head, lines = registry.head(), self.ledger.entries()
        if head and (head[0] > len(lines) or digest_of(lines[head[0] - 1]) != head[1]):
            raise StoreCorrupted(
                f"MLflow has followed line {head[0]} of {self.ledger.path} with the SHA-256 {head[1][:12]}…, "
                "and the ledger has no such line: its end was removed, or it is another one. Restore it from "
                f"a copy. If you have set it aside, delete the tag ledger.head of {registry.name} in MLflow."
            )

    def _disagreement(self, served: Version | None, aliased: str | None, name: str) -> Misconfigured:
        setting = self.pipeline.serving
        label = f"version {served.number} (model {served.model['digest'][:12]})" if served else "no version"
        alias = f"model {aliased[:12]}" if aliased else "no version"
        return Misconfigured(
            f"it is not clear what production is. The model server's label {setting.label} of "
            f"{setting.model} names {label}; the alias production of {name} in MLflow names {alias}; the "
            f"last version published according to {self.ledger.path} is {self.ledger.last_served}. They "
            f"were expected to agree. `python -m ml reconcile --pipeline {self.pipeline.name}` names the one "
            "safe command. If the server has lost its config, restore its config file; to begin anew without "
            "production, delete the alias and set the ledger aside."
        )


def _write(version: Version | None, pipeline: Pipeline, store: Store, draft: Draft) -> None:
    draft.write_json(_described(version, pipeline, store))
    draft.facts["version"] = version and version.number


def _described(version: Version | None, pipeline: Pipeline, store: Store) -> dict[str, Any]:
    return {
        "version": version and version.number,
        "model": version and version.model,
        "statistics": _statistics(version, store) if version else [],
        "watermark": version and version.watermark.isoformat(),
        "pushed_model": version and _pushed(version, pipeline, store),
    }


def _statistics(version: Version, store: Store) -> list[Artifact]:
    window = store.manifest(version.model).identity.inputs["training_window"]
    if window is None:
        return []
    days = store.read_json(window)["days"]
    return [day["statistics"] for day in days if day["statistics"]]


def _pushed(version: Version, pipeline: Pipeline, store: Store) -> Artifact | None:
    """None if the push that served it was lost before it wrote its artifact."""
    manifests = store.manifests(pipeline.name, "pushed_model")
    return next((one.artifact for one in manifests if one.facts.get("version") == version.number), None)
