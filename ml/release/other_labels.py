"""What the labels beside users' own one name: ``golden``, and that of the canary.

A stranger's hand on one of them moves no user at once. It is found all the same: ``golden`` is where one goes
back to when all else is in doubt.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from ml.connections import ServingConnection
from ml.release.history import GOLDEN
from ml.release.production import Records
from ml.release.registry import Registry
from ml.release.rollout.tracks import canary_of
from ml.release.server import ModelServer
from ml.release.sight import RegistrySight, Sight, ask_server

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


def other_labels(records: Records) -> list[str]:
    """The labels that a pipeline has beside users' own."""
    canary = records.pipeline.serving.canary
    return [GOLDEN, *([canary.label] if canary else [])]


def compare_others(
    records: Records, serving: ServingConnection, canary: ServingConnection | None, registry: RegistrySight
) -> tuple[Comparison, ...]:
    """What the three say of each of them.

    Args:
        records: the ledger.
        serving: the model server of the stable track, which has ``golden``.
        canary: the canary's own; without it the label of a canary that has one is left out.
        registry: what it says.
    """
    golden = _compare_golden(records, ask_server(records, serving, GOLDEN), registry.aliases[GOLDEN])
    where = _server_of_canary(records, serving, canary)
    if where is None:
        return (golden,)
    label = canary_of(records.pipeline).label
    return golden, _compare_canary(records, ask_server(records, where, label), registry.aliases[label])


def settle_canary(
    records: Records, serving: ServingConnection, canary: ServingConnection | None, registry: Registry
) -> None:
    """Take the canary's label off where no version is on trial, and point its alias at one that is.

    Under the publication locks of both servers.

    Raises:
        Unavailable: if a server does not answer.
    """
    where, trial = _server_of_canary(records, serving, canary), records.on_trial
    if where is None:
        return
    label, setting = canary_of(records.pipeline).label, records.pipeline.serving
    if trial:
        if registry.aliased_digest(label) != trial["model"]:
            registry.follow(trial, label)
        return
    with ModelServer(where, setting.model) as server:
        entry = server.entry()
        stray = entry.labels.get(label) or server.named_version(label)
        if stray is not None:
            log.warning("the label %s named %d, and no version is on trial; it is taken off", label, stray)
            server.apply(entry.without(stray, label, None), setting.ready_seconds)


def _server_of_canary(
    records: Records, serving: ServingConnection, canary: ServingConnection | None
) -> ServingConnection | None:
    """Where the canary's label is; None if there is no canary, or nobody says where its server is."""
    setting = records.pipeline.serving.canary
    if setting is None:
        return None
    return serving if setting.servers == "one" else canary


def _compare_golden(records: Records, server: Sight, registry: Sight) -> Comparison:
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


def _compare_canary(records: Records, server: Sight, registry: Sight) -> Comparison:
    name, trial = records.pipeline.name, records.on_trial
    ledger = Sight(trial["to"] if trial else None)
    compared = Comparison(canary_of(records.pipeline).label, str(server), str(registry), str(ledger))
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
