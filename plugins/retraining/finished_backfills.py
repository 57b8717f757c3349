"""A listener in the scheduler that starts the one report of a backfill when its last night is over.

A backfill that is cancelled while it is paused ends without a night that does: Airflow fails its queued
runs by an UPDATE that no listener hears of. Then the next night of the DAG to end starts the report.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.listeners import hookimpl
from sqlalchemy import select
from sqlalchemy.orm import object_session

from retraining.queued_runs import is_there, queue_run

NIGHT_PREFIX, REPORT_PREFIX = "retrain_", "report_backfill_"
LOGGING = "log_to_mlflow"
FINISHED = ("success", "failed")
# Longer ago, the report's run may have been deleted with Airflow's old runs (airflow db clean).
REMEMBERED = timedelta(days=7)


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:  # noqa: ARG001 - Airflow's signature
    """A night ran to its end."""
    report_finished_backfills(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:  # noqa: ARG001 - Airflow's signature
    """A night was stopped."""
    report_finished_backfills(dag_run)


def report_finished_backfills(dag_run: Any) -> None:
    """Start the report of the night's backfill and of those that nobody has told of, where they are over.

    A night that is cleared later finds the report's run there and starts none.

    All happens in the session that ends the night, which Airflow commits: the report is started if and only
    if the night is over, and no second session waits for the first one's locks. These are taken in the order
    of the backfills, so that two schedulers never wait for each other.
    """
    session = object_session(dag_run)
    if session is None or not dag_run.dag_id.startswith(NIGHT_PREFIX):
        return
    session.flush()
    own = {dag_run.backfill_id} - {None}
    for backfill_id in sorted(own | unheard_backfills(session, dag_run.dag_id)):
        report_if_over(session, lock_backfill(session, backfill_id))


def report_if_over(session: Any, backfill: Any) -> None:
    """Start the report if no night of the backfill is left, and if it was not started before."""
    if is_over(session, backfill) and not is_reported(session, backfill):
        # As ml.steps.report_backfill takes it.
        about = {"backfill": describe_nights(session, backfill)}
        queue_run(session, report_dag_of(backfill), run_id_of(backfill), about)


def unheard_backfills(session: Any, dag_id: str) -> set[int]:
    """The backfills of a DAG that have ended of late, and have nights, but no report."""
    from airflow.models import DagRun
    from airflow.models.backfill import Backfill

    ended = Backfill.completed_at > datetime.now(timezone.utc) - REMEMBERED
    nights = select(DagRun.id).where(DagRun.backfill_id == Backfill.id).exists()
    found = session.scalars(select(Backfill).where(Backfill.dag_id == dag_id, ended, nights))
    return {backfill.id for backfill in found if not is_reported(session, backfill)}


def lock_backfill(session: Any, backfill_id: int) -> Any:
    """The backfill. Two schedulers that end its last two nights at once wait for each other here."""
    from airflow.models.backfill import Backfill

    return session.scalars(select(Backfill).where(Backfill.id == backfill_id).with_for_update()).one()


def is_over(session: Any, backfill: Any) -> bool:
    """Whether all of its nights have ended; those that a person has cancelled have."""
    from airflow.models import DagRun

    left = (DagRun.backfill_id == backfill.id, DagRun.state.not_in(FINISHED))
    return session.scalar(select(DagRun.id).where(*left).limit(1)) is None


def is_reported(session: Any, backfill: Any) -> bool:
    """Whether the report was started before, whatever has become of it."""
    return is_there(session, report_dag_of(backfill), run_id_of(backfill))


def describe_nights(session: Any, backfill: Any) -> dict[str, Any]:
    """Which backfill it is, since when, what it tried, its nights, and why some of them do not count."""
    logged, tried = logging_states(session, backfill), what_ifs(session, backfill)
    names = set(tried.values())
    common = names.pop() if len(names) == 1 else ""
    return {
        "key": f"airflow/{backfill.id}",
        "what_if": common,
        "started_at": backfill.created_at.isoformat(),
        "nights": list(logged),
        "failed": {
            night: reason
            for night, state in logged.items()
            if (reason := why_not_counted(state, tried[night], common))
        },
    }


def why_not_counted(state: str | None, what_if: str, common: str) -> str:
    """Why a night is none of those that the report compares; empty if it is one.

    Args:
        state: of the task that logs it; None if that never began.
        what_if: what the night tried; empty if nothing.
        common: what all nights of the backfill tried; empty if nothing, or not all the same.
    """
    if state is None:
        return "it was cancelled before it began"
    if what_if != common:
        return f"it ran as the what-if {what_if} of a backfill before: run its day with --dag-run-conf '{{}}'"
    return "" if state == "success" else f"{LOGGING} is {state}"


def what_ifs(session: Any, backfill: Any) -> dict[str, str]:
    """What each night tried, by run key. Without parameters in a backfill its nights keep those they had."""
    from airflow.models import DagRun

    nights = select(DagRun.run_id, DagRun.conf).where(DagRun.backfill_id == backfill.id)
    return {
        f"{backfill.dag_id}/{run_id}": str((conf or {}).get("what_if", ""))
        for run_id, conf in session.execute(nights)
    }


def logging_states(session: Any, backfill: Any) -> dict[str, str | None]:
    """What became of the task that logs a night, by run key, oldest night first; None if it never began."""
    from airflow.models import DagRun, TaskInstance

    same_run = (TaskInstance.dag_id == DagRun.dag_id) & (TaskInstance.run_id == DagRun.run_id)
    columns = (
        select(DagRun.run_id, TaskInstance.state)
        .join(TaskInstance, same_run)
        .where(DagRun.backfill_id == backfill.id, TaskInstance.task_id == LOGGING)
        .order_by(DagRun.logical_date)
    )
    return {f"{backfill.dag_id}/{run_id}": state and str(state) for run_id, state in session.execute(columns)}


def report_dag_of(backfill: Any) -> str:
    """The DAG that reports the backfills of these nights."""
    return REPORT_PREFIX + str(backfill.dag_id).removeprefix(NIGHT_PREFIX)


def run_id_of(backfill: Any) -> str:
    """The run of the report's DAG that reports this backfill."""
    return f"backfill_{backfill.id}"
