"""What model server, registry and ledger each say of a label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ml.connections import MlflowConnection, ServingConnection
from ml.errors import RetrainingError, Unavailable
from ml.release.failures import NotLoaded
from ml.release.mirror import describe, unheard
from ml.release.production import Records
from ml.release.registry import Registry
from ml.release.rest import RestServer

NOTHING = "nothing"


@dataclass(frozen=True)
class Sight:
    """What one of the three says.

    Attributes:
        version: the version; None for nothing, and for what has no number here.
        problem: why it did not answer; empty if it did.
        is_silent: whether asking again later can help with that.
        stranger: what it names if that was never published from this store.
        unloaded: of the model server: whether it answers, but names a version that it has not loaded.
    """

    version: int | None
    problem: str = ""
    is_silent: bool = False
    stranger: str = ""
    unloaded: bool = False

    def __str__(self) -> str:
        return self.problem or self.stranger or (NOTHING if self.version is None else str(self.version))


@dataclass(frozen=True)
class RegistrySight:
    """What the registry says.

    Attributes:
        aliases: alias → what it names.
        unheard: the moves and decisions that it has not heard of, in words.
    """

    aliases: dict[str, Sight]
    unheard: tuple[str, ...] = ()


def ask_server(records: Records, serving: ServingConnection, label: str) -> Sight:
    """What a label names on a model server."""
    try:
        with RestServer(serving, records.pipeline.serving.model) as rest:
            return Sight(rest.labelled_version(label))
    except NotLoaded as error:
        return Sight(None, str(error), unloaded=True)
    except RetrainingError as error:
        return Sight(None, str(error), is_silent=isinstance(error, Unavailable))


def ask_registry(records: Records, mlflow: MlflowConnection, aliases: Iterable[str]) -> RegistrySight:
    """What these aliases name, and what the registry has not heard of."""
    from ml.release.tracking import open_mlflow

    try:
        with open_mlflow(mlflow, "none") as client:
            registry = Registry(client, records.pipeline.serving.model)
            records.check_mirror(registry)
            behind, missed = records.ledger.left_behind, unheard(records.ledger, registry)
            if behind and behind not in missed:
                missed = [behind, *missed]
            sights = {alias: _version_of(records, registry.aliased_digest(alias)) for alias in aliases}
            return RegistrySight(sights, tuple(map(describe, missed)))
    except RetrainingError as error:
        problem = Sight(None, str(error), is_silent=isinstance(error, Unavailable))
        return RegistrySight(dict.fromkeys(aliases, problem))


def _version_of(records: Records, digest: str | None) -> Sight:
    if digest is None:
        return Sight(None)
    version = records.versions.find_model(digest)
    if version is None:
        return Sight(None, stranger=f"model {digest[:12]}, never published from this store")
    return Sight(version.number)
