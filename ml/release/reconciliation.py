"""What the model server, the registry and the ledger say is in production, side by side; and stray users.

Pure reading: nothing is moved here. If they differ there is one safe command, and it is named.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ml.connections import MlflowConnection, ServingConnection
from ml.release.history import GOLDEN
from ml.release.other_labels import (
    Comparison,
    compare_canary,
    compare_golden,
    settle_alias,
    settle_command,
    settle_label,
)
from ml.release.production import Records, publication_lock
from ml.release.registry import PRODUCTION, Registry
from ml.release.rest import RestServer
from ml.release.router import close_stray_share, stray_share
from ml.release.sight import Sight, ask_registry, ask_server

WAIT = "MLflow does not say. Ask again when it answers."
MEND = "the registry cannot be compared. Waiting does not help: do what its word says."


@dataclass(frozen=True)
class Reconciliation:
    """What each of the three says, and what to do.

    Attributes:
        server: what the model server's label names: a version, ``nothing``, or why it did not answer.
        registry: the same of the alias ``production``.
        ledger: the same of the last move.
        agree: whether all three say the same and no move is on its way.
        finding: what that means, in a sentence.
        command: the one safe command; empty if there is nothing to do.
        others: the same of the labels beside users' own.
        stray_share: the share of users whom the router sends to a canary although none is on trial.
        unheard: moves and decisions that the registry has not heard of, because MLflow did not answer.
    """

    server: str
    registry: str
    ledger: str
    agree: bool
    finding: str
    command: str
    others: tuple[Comparison, ...] = ()
    stray_share: float = 0.0
    unheard: tuple[str, ...] = ()


def reconcile(
    records: Records,
    serving: ServingConnection,
    mlflow: MlflowConnection,
    canary: ServingConnection | None = None,
) -> Reconciliation:
    """Compare the three, and look whether the router sends users to a canary that nobody tries.

    A line of the ledger whose writer was killed is logged.

    Args:
        records: numbers and ledger.
        serving: the model server that users are answered by.
        mlflow: where the registry is.
        canary: the canary's own; without it nothing is said of a label that is there.

    Raises:
        StoreCorrupted: if the ledger is not as it was written.
    """
    with records.store.lock(publication_lock(serving)):
        server = ask_server(records, serving, records.pipeline.serving.label)
        registry = ask_registry(records, mlflow, (PRODUCTION, GOLDEN))
        ledger, lost = Sight(records.ledger.last_served), records.ledger.on_the_way
        golden = compare_golden(records, ask_server(records, serving, GOLDEN), registry.aliases[GOLDEN])
        stray = stray_share(records.pipeline, serving, records.on_trial)
        records.ledger.warn_of_torn_line()
    on_trial = compare_canary(records, serving, canary, mlflow)
    others = (golden, on_trial) if on_trial else (golden,)
    on_the_way, production = int(lost["to"]) if lost else None, registry.aliases[PRODUCTION]
    finding, command = judge(records.pipeline.name, server, production, ledger, on_the_way)
    agree = not command and not server.problem and not production.problem
    said = Reconciliation(str(server), str(production), str(ledger), agree, finding, command, others)
    return _with_the_rest(replace(said, stray_share=stray, unheard=registry.unheard), records.pipeline.name)


def judge(
    pipeline: str, server: Sight, registry: Sight, ledger: Sight, on_the_way: int | None
) -> tuple[str, str]:
    """What the three mean together: a finding and the one safe command, which may be none.

    Args:
        pipeline: its name.
        server: what the label names.
        registry: what the alias names.
        ledger: the last move that was done.
        on_the_way: where a move leads that has not come to its end; None if there is none.
    """
    if server.problem:
        return _judge_silence(pipeline, server)
    if on_the_way is not None and on_the_way == server.version:
        finding = f"A move to {on_the_way} was lost after the label had moved, or its alias stayed behind."
        return finding, settle_command(pipeline)
    if registry.problem:
        agrees = "Label and ledger agree" if server == ledger else "Label and ledger differ"
        return f"{agrees}; {WAIT if registry.is_silent else MEND}", ""
    if server == registry == ledger:
        return "All three agree.", ""
    # What serves counts if one of the others knows it. Else the label was moved by a stranger.
    trusted = server.version if server in (registry, ledger) and server.version else ledger.version
    if trusted is None:
        return "Something is served or aliased that this store knows nothing of.", CHECK_HOME
    finding = "Somebody has moved the label, the alias or both by another way than this bundle's."
    command = f'python -m ml rollback --pipeline {pipeline} --to {trusted} --reason "reconcile: …"'
    return finding, command


def _judge_silence(pipeline: str, server: Sight) -> tuple[str, str]:
    if not server.unloaded:
        return "The model server does not say what it serves. Get it to answer first.", ""
    finding = (
        "Users get errors: their label names a version that is not loaded. Go back, unless it is loading."
    )
    return finding, f'python -m ml rollback --pipeline {pipeline} --to previous --reason "…"'


def _with_the_rest(said: Reconciliation, pipeline: str) -> Reconciliation:
    """The same with what is wrong beside users' label, if that is as it should be. One thing at a time."""
    if not said.agree:
        return said
    if said.stray_share:
        return replace(said, agree=False, finding=strayed(said.stray_share), command=settle_command(pipeline))
    if said.unheard:
        finding = f"All three agree, and MLflow has not heard of: {'; '.join(said.unheard)}."
        return replace(said, agree=False, finding=finding, command=settle_command(pipeline))
    wrong = next((other for other in said.others if other.finding), None)
    if wrong is None:
        return said
    return replace(said, agree=False, finding=wrong.finding, command=wrong.command or CHECK_HOME)


CHECK_HOME = "echo $RETRAIN_HOME  # is it the store that has published? Else delete alias and label by hand"


def strayed(share: float) -> str:
    """What a share means that is open without a trial."""
    return (
        f"The router sends {share:.1%} of the users to a canary, and no version is on trial: serving.canary "
        "was taken out of the settings in the middle of a trial, or the end of one was lost."
    )


def settle(
    records: Records,
    serving: ServingConnection,
    mlflow: MlflowConnection,
    canary: ServingConnection | None = None,
) -> None:
    """Finish a lost move, tell the registry what it has not heard of, close a stray share, as a night would.

    The canary's label is taken off if no version is on trial; the arguments are those of `reconcile`.

    Raises:
        Misconfigured: if the three differ for another reason.
        Unavailable: if a model server or MLflow does not answer.
    """
    from ml.release.tracking import open_mlflow

    setting = records.pipeline.serving
    with (
        records.store.lock(publication_lock(serving)),
        RestServer(serving, setting.model) as rest,
        open_mlflow(mlflow, "short") as client,
    ):
        registry = Registry(client, setting.model)
        records.settle(rest, registry)
        close_stray_share(records.pipeline, serving, records.on_trial)
        settle_alias(records, registry)
    settle_label(records, serving, canary)
