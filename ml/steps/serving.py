"""What an operator does with the versions that were published: look, go back, reconcile."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ml.connections import MlflowConnection, ServingConnection
from ml.errors import Misconfigured, Withheld
from ml.steps.records import records_of

if TYPE_CHECKING:
    from ml.release.wish import Wish

Line = dict[str, Any]


def roll_back(
    pipeline: str,
    to: str,
    reason: str,
    run: dict[str, str] | None = None,
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
) -> dict[str, Any]:
    """Go back to a version that has been published before: load, ask its golden requests, move the label.

    MLflow need not answer: users come first, and the registry's alias follows when it does.

    Args:
        pipeline: the pipeline's name.
        to: ``previous``, ``golden`` or a version's number.
        reason: why, in words; required.
        run: who asks: ``key`` names the DAG run or the alert, ``url`` is its page or empty. By default the
            user of the operating system asks. A run that is repeated moves nothing a second time.
        serving: the model server.
        mlflow: where the registry is.

    Returns:
        ``version``, ``previous``, ``aliased`` (whether MLflow says so too), ``difference`` (of the golden
        answers) and ``seconds``.

    Raises:
        Misconfigured: if there is no such version, or no reason.
        Removed: if housekeeping has taken its model away, with the versions that are left.
        Unavailable: if the model server does not answer.
    """
    from ml.release.rollback import roll_back

    started = time.monotonic()
    done = roll_back(_wish(to, reason, run), records_of(pipeline), serving, mlflow)
    return {**asdict(done), "seconds": round(time.monotonic() - started, 3)}


def versions_to_go_back_to(pipeline: str) -> dict[str, str]:
    """``previous``, ``golden`` and every version that can be gone back to, the newest first → what it is.

    Reads small files of the store and asks nobody; a ledger that is damaged is no failure.
    """
    from ml.release.destinations import destinations

    return destinations(records_of(pipeline))


def set_golden(
    pipeline: str,
    version: str,
    reason: str,
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
) -> dict[str, Any]:
    """Name a published version golden: it stays loaded, is never expired, and ``golden`` leads back to it.

    Raises:
        Misconfigured: if there is no such version, or no reason.
        Unavailable: if the model server does not answer.
    """
    from ml.release.golden_version import set_golden

    return asdict(set_golden(_wish(version, reason), records_of(pipeline), serving, mlflow))


def show_golden(pipeline: str) -> dict[str, Any]:
    """The golden version, the record of its last rehearsal, and that record's age in seconds.

    Each is None if there is none; a rehearsal of an earlier golden version is none.
    """
    from ml.release.history import golden_version
    from ml.release.rehearsal import read_rehearsal

    records = records_of(pipeline)
    rehearsal = read_rehearsal(records)
    at = rehearsal and datetime.fromisoformat(rehearsal["at"])
    age = at and (datetime.now(timezone.utc) - at).total_seconds()
    golden = golden_version(records.ledger.entries())
    return {"version": golden, "rehearsal": rehearsal, "age_seconds": age}


def find_golden(pipeline: str) -> int:
    """The version that is golden now, to be rehearsed.

    Raises:
        Withheld: if nobody has named one: there is no way back to it yet.
    """
    from ml.release.history import golden_version

    golden = golden_version(records_of(pipeline).ledger.entries())
    if golden is None:
        raise Withheld(
            f"{pipeline} has no golden version, so there is nothing to rehearse. When one has proved itself: "
            f'python -m ml golden set --pipeline {pipeline} --version N --reason "…"'
        )
    return golden


def rehearse_golden(
    pipeline: str, *, serving: ServingConnection, scratch: ServingConnection
) -> dict[str, Any]:
    """Rehearse the way back to the golden version on a model server that answers nobody, and record it.

    Raises:
        Misconfigured: if no version is golden, or the scratch server is the users' own.
        RetrainingError: what went wrong, after it was recorded.
    """
    from ml.release.rehearsal import rehearse_golden

    return rehearse_golden(records_of(pipeline), serving, scratch)


def readmit(
    pipeline: str, version: str, reason: str, *, serving: ServingConnection, mlflow: MlflowConnection
) -> dict[str, Any]:
    """Let a version that was rolled back be published again by a night. MLflow need not answer.

    Returns:
        The versions that stay withheld, each with who rolled it back, when and why.

    Raises:
        Misconfigured: if there is no such version, or no reason.
    """
    from ml.release.golden_version import readmit, why_withheld

    records = records_of(pipeline)
    readmit(_wish(version, reason), records, serving, mlflow)
    return {str(number): why for number, why in why_withheld(records).items()}


def read_ledger(pipeline: str) -> list[Line]:
    """Every line of the ledger, the oldest first. A line whose writer was killed is logged and left out.

    Raises:
        StoreCorrupted: naming the line that is not as it was written.
    """
    ledger = records_of(pipeline).ledger
    ledger.warn_of_torn_line()
    return ledger.entries()


def read_served(pipeline: str, at: str) -> dict[str, Any]:
    """What users were answered by at a moment.

    Args:
        pipeline: the pipeline's name.
        at: ISO 8601; without an offset in the pipeline's time zone.

    Returns:
        ``at`` in UTC, ``version`` and the ``line`` that brought it, None if nothing was served; and
        ``on_the_way``, the line of a move that was under way at that moment.

    Raises:
        Misconfigured: if ``at`` is no moment.
        StoreCorrupted: as in `read_ledger`.
    """
    from ml.release.history import served_at

    records = records_of(pipeline)
    moment = _moment(at, records.pipeline.landing.time_zone)
    served = served_at(read_ledger(pipeline), records.ledger.label, moment)
    line = served.passage and dict(served.passage.line)
    return {
        "at": moment.astimezone(timezone.utc).isoformat(),
        "version": line and line["to"],
        "line": line,
        "on_the_way": served.on_the_way and dict(served.on_the_way.line),
    }


def reconcile(
    pipeline: str,
    settle: bool = False,
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
    canary: ServingConnection | None = None,
) -> dict[str, Any]:
    """Compare what model server, registry and ledger say is in production, golden and on trial.

    Args:
        pipeline: the pipeline's name.
        settle: whether to finish a move that was lost on its way first, as the next night would.
        serving: the model server.
        mlflow: where the registry is.
        canary: the canary's model server, if it has one of its own.

    Returns:
        ``server``, ``registry`` and ``ledger`` in words, ``agree``, the ``finding`` and the one safe
        ``command``, which may be empty; and ``others``, the same of each label beside users' own.
    """
    from ml.release import reconciliation

    records = records_of(pipeline)
    if settle:
        reconciliation.settle(records, serving, mlflow, canary)
    return asdict(reconciliation.reconcile(records, serving, mlflow, canary))


def _moment(at: str, time_zone: str) -> datetime:
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise Misconfigured(
            f"{at!r} is no moment; expected ISO 8601 such as 2026-03-14T09:00, in {time_zone} if it has no "
            "offset."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(time_zone))


def _wish(to: str, reason: str, run: dict[str, str] | None = None) -> Wish:
    from ml.release.ledger import current_user
    from ml.release.wish import Wish

    who = run or {"key": current_user(), "url": ""}
    return Wish(to=to, reason=reason, who=who["key"], evidence=who["url"], is_run=run is not None)
