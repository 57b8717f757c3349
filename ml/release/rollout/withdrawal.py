"""The canary is taken back: first its users, then its label; and its content is remembered.

| action | after it | if the process is lost after it |
|---|---|---|
| share 0 | stable answers everybody, from the next request on | the next try goes on |
| note | the ledger says who withdrew it and why, and no night pushes it again | the same |
| alias off, mirror | MLflow says so too, if it answers | the next try, night or look of the watch tells it |
| label off, unload | its server has forgotten it; its files stay | the next try unloads it |
"""

from __future__ import annotations

from ml.connections import MlflowConnection
from ml.release.history import rolled_back
from ml.release.ledger import Move, check_reason
from ml.release.mirror import mirror_decision
from ml.release.production import Records, publication_lock
from ml.release.rollout.tracks import Tracks, canary_of
from ml.release.rollout.trial import end_trial, find_own_trial, find_trial, unload_canary
from ml.release.router import route_lock, set_share
from ml.release.versions import Version
from ml.release.wish import Wish


def withdraw_canary(
    version: int, wish: Wish, records: Records, tracks: Tracks, mlflow: MlflowConnection
) -> bool:
    """Take the canary back. To repeat it does nothing, or goes on where it was lost.

    Its users go back to stable before anything is waited for: no server is asked, and no lock that anybody
    holds while a server is asked. Its own server comes last, and nobody waits for that one's answer.

    Returns:
        Whether the canary's server has unloaded it; a dead one has not, and no user reaches it.

    Raises:
        Withheld: if it is not on trial.
        Misconfigured: if no reason is given.
    """
    check_reason(wish.reason)
    if _admit(version, records):
        _close_own_share(version, records, tracks)
    with records.store.lock(publication_lock(tracks.stable)):
        if found := _admit(version, records):
            label = canary_of(records.pipeline).label
            move = Move("withdraw", label, found, version, wish.who, wish.reason, evidence=wish.evidence)
            records.ledger.note(move)
        end_trial(version, records, tracks, mlflow)
        withdrawn = rolled_back(records.ledger.entries())[version]
        mirror_decision(withdrawn, records.ledger, records.pipeline.serving.model, mlflow)
    return unload_canary(version, records, tracks)


def _close_own_share(version: int, records: Records, tracks: Tracks) -> None:
    """Let stable answer everybody, unless a newer canary's trial is on record, which its share follows."""
    with records.store.lock(route_lock(records.pipeline)):
        if find_trial(records, other_than=version) is None:
            set_share(records.pipeline, tracks.stable, 0.0)


def _admit(version: int, records: Records) -> Version | None:
    """The version if it is on trial; None if it was withdrawn before, which may have been lost half-way."""
    line = rolled_back(records.ledger.entries()).get(version)
    if line and line["action"] == "withdraw":
        return None
    return find_own_trial(records, version).version
