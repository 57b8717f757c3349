"""The canary is taken back: first its users, then its label; and its content is remembered.

| action | after it | if the process is lost after it |
|---|---|---|
| share 0 | stable answers everybody, from the next request on | the next try goes on |
| note | the ledger says who withdrew it and why, and no night pushes it again | the same |
| label off, unload | its server has forgotten it; its files stay | the next try or move tells MLflow |
| mirror | MLflow says so too, if it answers | the next night or the watch tells it |
"""

from __future__ import annotations

from ml.connections import MlflowConnection
from ml.release.history import rolled_back
from ml.release.ledger import Move, check_reason
from ml.release.mirror import mirror_decision
from ml.release.production import Records
from ml.release.rollout.tracks import Tracks, canary_of
from ml.release.rollout.trial import end_trial, find_own_trial
from ml.release.router import set_share
from ml.release.versions import Version
from ml.release.wish import Wish


def withdraw_canary(
    version: int, wish: Wish, records: Records, tracks: Tracks, mlflow: MlflowConnection
) -> bool:
    """Take the canary back. To repeat it does nothing, or goes on where it was lost.

    Its users go back to stable before anything is waited for: neither a lock nor a server is asked.

    Returns:
        Whether the canary's server has unloaded it; a dead one has not, and no user reaches it.

    Raises:
        Withheld: if it is not on trial.
        Misconfigured: if no reason is given.
    """
    check_reason(wish.reason)
    if _admit(version, records):
        set_share(records.pipeline, tracks.stable, 0.0)
    with tracks.lock(records.store):
        if found := _admit(version, records):
            label = canary_of(records.pipeline).label
            move = Move("withdraw", label, found, version, wish.who, wish.reason, evidence=wish.evidence)
            records.ledger.note(move)
        unloaded = end_trial(version, records, tracks, mlflow)
        withdrawn = rolled_back(records.ledger.entries())[version]
        mirror_decision(withdrawn, records.ledger, records.pipeline.serving.model, mlflow)
        return unloaded


def _admit(version: int, records: Records) -> Version | None:
    """The version if it is on trial; None if it was withdrawn before, which may have been lost half-way."""
    line = rolled_back(records.ledger.entries()).get(version)
    if line and line["action"] == "withdraw":
        return None
    return find_own_trial(records, version).version
