"""What the model server, the registry and the ledger say is in production, side by side; and stray users.

Pure reading: nothing is moved here. If they differ there is one safe command, and it is named.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ml.connections import MlflowConnection, ServingConnection
from ml.errors import RetrainingError
from ml.release.mirror import describe, unheard
from ml.release.production import Records, publication_lock
from ml.release.registry import Registry
from ml.release.rest import RestServer
from ml.release.router import close_stray_share, stray_share

NOTHING = "nothing"


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
        stray_share: the share of users whom the router sends to a canary although none is on trial.
        unheard: moves and decisions that the registry has not heard of, because MLflow did not answer.
    """

    server: str
    registry: str
    ledger: str
    agree: bool
    finding: str
    command: str
    stray_share: float = 0.0
    unheard: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sight:
    """What one of the three says.

    Attributes:
        version: the version; None for nothing, and for what has no number here.
        problem: why it did not answer; empty if it did.
        stranger: what it names if that was never published from this store.
        unheard: of the registry: what it has not heard of.
    """

    version: int | None
    problem: str = ""
    stranger: str = ""
    unheard: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return self.problem or self.stranger or (NOTHING if self.version is None else str(self.version))


def reconcile(records: Records, serving: ServingConnection, mlflow: MlflowConnection) -> Reconciliation:
    """Compare the three, and look whether the router sends users to a canary that nobody tries.

    A line of the ledger whose writer was killed is logged.

    Raises:
        StoreCorrupted: if the ledger is not as it was written.
    """
    with records.store.lock(publication_lock(serving)):
        server, registry = _ask_server(records, serving), _ask_registry(records, mlflow)
        ledger, lost = Sight(records.ledger.last_served), records.ledger.on_the_way
        stray = stray_share(records.pipeline, serving, records.on_trial)
        records.ledger.warn_of_torn_line()
    on_the_way = int(lost["to"]) if lost else None
    finding, command = judge(records.pipeline.name, server, registry, ledger, on_the_way)
    agree = not command and not server.problem and not registry.problem
    if agree and stray:
        agree, finding, command = False, strayed(stray), settle_command(records.pipeline.name)
    elif agree and registry.unheard:
        finding = f"All three agree, and MLflow has not heard of: {'; '.join(registry.unheard)}."
        agree, command = False, settle_command(records.pipeline.name)
    said = (str(server), str(registry), str(ledger))
    return Reconciliation(*said, agree, finding, command, stray, registry.unheard)


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
        return "The model server does not say what it serves. Get it to answer first.", ""
    if on_the_way is not None and on_the_way == server.version:
        finding = f"A move to {on_the_way} was lost after the label had moved, or its alias stayed behind."
        return finding, settle_command(pipeline)
    if registry.problem:
        agrees = "Label and ledger agree" if server == ledger else "Label and ledger differ"
        return f"{agrees}; MLflow does not say. Ask again when it answers.", ""
    if server == registry == ledger:
        return "All three agree.", ""
    # What serves counts if one of the others knows it. Else the label was moved by a stranger.
    trusted = server.version if server in (registry, ledger) and server.version else ledger.version
    if trusted is None:
        return "Something is served or aliased that this store knows nothing of.", CHECK_HOME
    finding = "Somebody has moved the label, the alias or both by another way than this bundle's."
    command = f'python -m ml rollback --pipeline {pipeline} --to {trusted} --reason "reconcile: …"'
    return finding, command


CHECK_HOME = "echo $RETRAIN_HOME  # is it the store that has published? Else delete alias and label by hand"


def settle_command(pipeline: str) -> str:
    """What finishes what was lost on its way."""
    return f"python -m ml reconcile --pipeline {pipeline} --settle"


def strayed(share: float) -> str:
    """What a share means that is open without a trial."""
    return (
        f"The router sends {share:.1%} of the users to a canary, and no version is on trial: serving.canary "
        "was taken out of the settings in the middle of a trial, or the end of one was lost."
    )


def settle(records: Records, serving: ServingConnection, mlflow: MlflowConnection) -> None:
    """Finish a lost move, tell the registry what it has not heard of, close a stray share, as a night would.

    Raises:
        Misconfigured: if the three differ for another reason.
        Unavailable: if model server or MLflow do not answer.
    """
    from ml.release.tracking import open_mlflow

    setting = records.pipeline.serving
    with (
        records.store.lock(publication_lock(serving)),
        RestServer(serving, setting.model) as rest,
        open_mlflow(mlflow) as client,
    ):
        records.settle(rest, Registry(client, setting.model))
        close_stray_share(records.pipeline, serving, records.on_trial)


def _ask_server(records: Records, serving: ServingConnection) -> Sight:
    setting = records.pipeline.serving
    try:
        with RestServer(serving, setting.model) as rest:
            return Sight(rest.labelled_version(setting.label))
    except RetrainingError as error:
        return Sight(None, str(error))


def _ask_registry(records: Records, mlflow: MlflowConnection) -> Sight:
    from ml.release.tracking import open_mlflow

    try:
        with open_mlflow(mlflow, patient=False) as client:
            registry = Registry(client, records.pipeline.serving.model)
            records.check_mirror(registry)
            behind = records.ledger.left_behind
            missed = [*([behind] if behind else []), *unheard(records.ledger, registry)]
            seen = _version_of(records, registry.production_digest())
            return replace(seen, unheard=tuple(map(describe, missed)))
    except RetrainingError as error:
        return Sight(None, str(error))


def _version_of(records: Records, digest: str | None) -> Sight:
    if digest is None:
        return Sight(None)
    version = records.versions.find_model(digest)
    return (
        Sight(version.number)
        if version
        else Sight(None, stranger=f"model {digest[:12]}, never published from this store")
    )
