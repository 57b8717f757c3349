"""What the labels beside users' own one name: ``golden``, and that of the canary.

A stranger's hand on one of them moves no user at once. It is found all the same: ``golden`` is where one goes
back to when all else is in doubt.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from ml.connections import MlflowConnection, ServingConnection
from ml.errors import RetrainingError
from ml.release.history import GOLDEN
from ml.release.production import Records, publication_lock
from ml.release.registry import Registry
from ml.release.rollout.tracks import canary_of
from ml.release.server import ModelServer
from ml.release.sight import Sight, ask_registry, ask_server

WHY = '"reconcile: …"'

log = logging.getLogger(__name__)


def settle_command(pipeline: str) -> str:
    """What finishes what was lost on its way."""
    return f"python -m ml reconcile --pipeline {pipeline} --settle"


@dataclass(frozen=True)
class Comparison:
    """What the three say of a label, and what to do.

    Attributes:
        label: the label, which is also the alias.
        server: what it names on the model server: a version, ``nothing``, or why that cannot be told.
        registry: the same of the alias.
        ledger: the same of the ledger's moves.
        finding: what is wrong, in a sentence; empty if nothing is.
        command: the one safe command; empty if there is nothing to do.
    """

    label: str
    server: str
    registry: str
    ledger: str
    finding: str = ""
    command: str = ""


def compare_golden(records: Records, server: Sight, registry: Sight) -> Comparison:
    """What the three say of ``golden``, under the publication lock of the server that has it.

    Args:
        records: the ledger.
        server: what the label names.
        registry: what the alias names.
    """
    named, lost = records.ledger.of(GOLDEN), records.ledger.of(GOLDEN).on_the_way
    ledger = Sight(named.last_served)
    compared = Comparison(GOLDEN, str(server), str(registry), str(ledger))
    is_down = bool(server.problem) and not server.unloaded
    follows = bool(registry.problem) or named.left_behind is not None or registry == ledger
    if is_down or (server == ledger and follows):
        return compared
    if lost and lost["event"] == "moving" and lost["to"] == server.version:
        wanted, why = server.version, f"naming {server.version} golden was lost after the label had moved"
    else:
        wanted = ledger.version or server.version or registry.version
        why = "it is not loaded, or somebody has moved label or alias by another way than this bundle's"
    if wanted is None:
        return replace(compared, finding=_finding(compared, "it names what this store knows nothing of"))
    command = f"python -m ml golden set --pipeline {records.pipeline.name} --version {wanted} --reason {WHY}"
    return replace(compared, finding=_finding(compared, why), command=command)


def compare_canary(
    records: Records, serving: ServingConnection, canary: ServingConnection | None, mlflow: MlflowConnection
) -> Comparison | None:
    """What the three say of the canary's label; None without one, or if nobody says where its server is.

    Under no lock, for nobody may wait for a canary's server. So a trial may begin or end between two of the
    questions, and what is found is looked at a second time.

    Args:
        records: the ledger.
        serving: the model server of the stable track.
        canary: the canary's own; None if it has none, or it is not known.
        mlflow: where the registry is.
    """
    where = _server_of_canary(records, serving, canary)
    if where is None:
        return None
    found = _look_at_canary(records, where, mlflow)
    return _look_at_canary(records, where, mlflow) if found.finding else found


def settle_alias(records: Records, registry: Registry) -> None:
    """Point the canary's alias at the version on trial, under the publication lock of stable's server."""
    trial = records.on_trial
    if trial and registry.aliased_digest(trial["label"]) != trial["model"]:
        registry.follow(trial, trial["label"])


def settle_label(records: Records, serving: ServingConnection, canary: ServingConnection | None) -> None:
    """Take the canary's label off where no version is on trial, under its own server's lock alone.

    That server may be dead, which keeps nothing else from being settled; its config is written all the same.
    """
    where = _server_of_canary(records, serving, canary)
    if where is None:
        return
    label, setting = canary_of(records.pipeline).label, records.pipeline.serving
    with records.store.lock(publication_lock(where)), ModelServer(where, setting.model) as server:
        entry = server.entry()
        stray = entry.labels.get(label) or ask_server(records, where, label).version
        if stray is None or records.on_trial:
            return
        log.warning("the label %s named %d, and no version is on trial; it is taken off", label, stray)
        try:
            server.apply(entry.without(stray, label, None), setting.ready_seconds)
        except RetrainingError as error:
            log.warning("the canary's server has not taken it off, and no user is sent there: %s", error)


def _server_of_canary(
    records: Records, serving: ServingConnection, canary: ServingConnection | None
) -> ServingConnection | None:
    """Where the canary's label is; None if there is no canary, or nobody says where its server is."""
    setting = records.pipeline.serving.canary
    if setting is None:
        return None
    return serving if setting.servers == "one" else canary


def _look_at_canary(records: Records, where: ServingConnection, mlflow: MlflowConnection) -> Comparison:
    name, label = records.pipeline.name, canary_of(records.pipeline).label
    server = ask_server(records, where, label)
    registry = ask_registry(records, mlflow, (label,)).aliases[label]
    trial, moving = records.on_trial, records.ledger.of(label).on_the_way
    ledger = Sight(trial["to"] if trial else None)
    compared = Comparison(label, str(server), str(registry), str(ledger))
    if trial is None and moving and moving["to"] == server.version:
        # A start is on its way or was lost on it, and the next push goes on; no user is sent there before.
        return compared
    if server.problem and not server.unloaded:
        return compared
    if trial is None:
        # The end of a trial may have left the alias; the next canary takes it over.
        if server == ledger:
            return compared
        why, command = "no version is on trial", settle_command(name)
    elif server != ledger:
        why = "the version on trial is not what its users are answered by"
        command = f"python -m ml rollout withdraw --pipeline {name} --reason {WHY}"
    elif registry.problem or registry == ledger:
        return compared
    else:
        why, command = "somebody has moved the alias", settle_command(name)
    return replace(compared, finding=_finding(compared, why), command=command)


def _finding(compared: Comparison, why: str) -> str:
    said = f"model server: {compared.server}; registry: {compared.registry}; ledger: {compared.ledger}"
    return f"Users' label is as it should be; {compared.label} is not ({said}): {why}."
