"""A listener in the scheduler that starts the one report of a backfill when its last night is over."""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl
from sqlalchemy import select
from sqlalchemy.orm import object_session

from retraining.queued_runs import is_there, queue_run

NIGHT_PREFIX, REPORT_PREFIX = "retrain_", "report_backfill_"
LOGGING = "log_to_mlflow"
FINISHED = ("success", "failed")


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:  # noqa: ARG001 - Airflow's signature
    """A night ran to its end."""
    report_finished_backfill(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:  # noqa: ARG001 - Airflow's signature
    """A night was stopped."""
    report_finished_backfill(dag_run)


def report_finished_backfill(dag_run: Any) -> None:
    """Start the report if no night of the backfill is left, and if it was not reported yet.

    A night that is cleared later finds the report's run there and starts none.

    All happens in the session that ends the night, which Airflow commits: the report is started if and only
    if the night is over, and no second session waits for the first one's locks.
    """
    session = object_session(dag_run)
    if session is None or dag_run.backfill_id is None or not dag_run.dag_id.startswith(NIGHT_PREFIX):
        return
    session.flush()
    backfill = lock_backfill(session, dag_run.backfill_id)
    report_dag = REPORT_PREFIX + dag_run.dag_id.removeprefix(NIGHT_PREFIX)
    if is_over(session, backfill) and not is_there(session, report_dag, run_id_of(backfill)):
        # As ml.steps.report_backfill takes it.
        about = {"backfill": describe_nights(session, backfill)}
        queue_run(session, report_dag, run_id_of(backfill), about)


def lock_backfill(session: Any, backfill_id: int) -> Any:
    """The backfill. Two schedulers that end its last two nights at once wait for each other here."""
    from airflow.models.backfill import Backfill

    return session.scalars(select(Backfill).where(Backfill.id == backfill_id).with_for_update()).one()


def is_over(session: Any, backfill: Any) -> bool:
    """Whether all of its nights have ended; those that a person has cancelled have."""
    from airflow.models import DagRun

    left = (DagRun.backfill_id == backfill.id, DagRun.state.not_in(FINISHED))
    return session.scalar(select(DagRun.id).where(*left).limit(1)) is None


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


def run_id_of(backfill: Any) -> str:
    """The run of the report's DAG that reports this backfill."""
    return f"backfill_{backfill.id}"
