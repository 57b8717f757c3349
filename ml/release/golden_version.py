"""The golden version: the one that a person would trust if everything else had to be doubted.

It is named by the model server's label ``golden`` and the registry's alias ``golden``, so it stays loaded and
its way back is as short as that to the previous one. Naming it is a move of that label like any other.
"""

from __future__ import annotations

from ml.connections import MlflowConnection, ServingConnection
from ml.errors import Misconfigured
from ml.release.history import GOLDEN, golden_version, rolled_back, version_before
from ml.release.ledger import Move, check_reason
from ml.release.mirror import mirror_decision
from ml.release.production import Records, publication_lock
from ml.release.rollback import RolledBack, WayBack
from ml.release.server import ModelServer
from ml.release.wish import Wish, find_target


def set_golden(
    wish: Wish, records: Records, serving: ServingConnection, mlflow: MlflowConnection
) -> RolledBack:
    """Name a published version golden: load it, ask it its golden requests, move label and alias.

    Raises:
        Misconfigured: if there is no such version, or no reason.
        NotServable: if it cannot be loaded or answers otherwise than when it was published.
        Unavailable: if the model server does not answer.
    """
    reason, model = check_reason(wish.reason), records.pipeline.serving.model
    with records.store.lock(publication_lock(serving)), ModelServer(serving, model) as server:
        before = server.named_version(GOLDEN)
        version = find_target(wish.to, records, records.ledger.last_served)
        way = WayBack(records, server, mlflow, Move("golden", GOLDEN, version, before, wish.who, reason))
        if not way.is_done():
            way.run()
    return RolledBack(version.number, before, way.aliased, way.difference)


def readmit(wish: Wish, records: Records, serving: ServingConnection, mlflow: MlflowConnection) -> None:
    """Let a version that was rolled back be published again. MLflow says so too, if it answers.

    Raises:
        Misconfigured: if it was not rolled back, or no reason is given.
    """
    reason, label = check_reason(wish.reason), records.pipeline.serving.label
    with records.store.lock(publication_lock(serving)):
        version = find_target(wish.to, records, None)
        if version.number not in (withheld := rolled_back(records.ledger.entries())):
            raise Misconfigured(
                f"{version.number} was not rolled back, or was readmitted since; it may be published. "
                f"Withheld: {', '.join(map(str, sorted(withheld))) or 'none'}. Name one of these."
            )
        records.ledger.note(Move("readmit", label, version, None, wish.who, reason))
        line = records.ledger.entries()[-1]
        mirror_decision(line, records.ledger, records.pipeline.serving.model, mlflow)


def kept_versions(records: Records) -> dict[int, list[str]]:
    """The versions whose files and models must be kept, each with every reason, by what the ledger says."""
    lines, label = records.ledger.entries(), records.pipeline.serving.label
    served, lost = records.ledger.last_served, records.ledger.on_the_way or {"to": None, "from": None}
    trial = records.on_trial
    reasons: list[tuple[int | None, str]] = [
        (served, f"served under the label {label}"),
        (lost["to"], "on its way to be served"),
        (lost["from"], "served before the move that is on its way"),
        (version_before(lines, label, served), "where a roll-back to previous leads"),
        (lost["to"] and version_before(lines, label, lost["to"]), "where previous leads after that move"),
        (golden_version(lines), "golden"),
        (trial["to"] if trial else None, "on trial as the canary"),
    ]
    kept: dict[int, list[str]] = {}
    for version, reason in reasons:
        if version is not None:
            kept.setdefault(version, []).append(reason)
    return kept


def why_withheld(records: Records) -> dict[int, str]:
    """The versions that were rolled back and not readmitted since, each with who, when and why."""
    condemned = rolled_back(records.ledger.entries())
    return {version: f"{line['time']} {line['who']}: {line['reason']}" for version, line in condemned.items()}
