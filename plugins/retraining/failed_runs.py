"""A listener in the scheduler that has a person told of a run that failed without a word, or could not tell.

A task that fails tells why, from its own process. One that is killed cannot. If that was its last try,
Airflow calls no callback where the task's supervisor lives on. Where both are gone, it calls one that is
given no reason. A task whose message Slack did not take leaves it here, also of a run that is green: what
the gate withholds is skipped, and not failed.
"""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl
from sqlalchemy import select
from sqlalchemy.orm import object_session

from retraining.notifications import (
    BACKFILL,
    TELLER,
    TOLD,
    UNTOLD,
    describe_stop,
    is_one_of_many,
    name_run,
)
from retraining.queued_runs import is_there, queue_run

WATCHES = "watch_"
TOLD_OF = (
    "retrain_",
    "report_backfill_",
    "rollout_",
    "realised_",
    "rollback_",
    "rehearse_",
    "housekeeping_",
    WATCHES,
)
FAILED = "failed"
BY_HAND = "manually set"  # what Airflow says of a run that a person has marked as failed


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:  # noqa: ARG001 - Airflow's signature
    """A run is over in which something may have been withheld."""
    if is_told_of(dag_run):
        pass_on_untold(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """A run has failed; who has marked it as failed knows that."""
    if BY_HAND not in msg and is_told_of(dag_run):
        pass_on_untold(dag_run)
        tell_of_silent_failure(dag_run)


def is_told_of(dag_run: Any) -> bool:
    """Whether this run concerns anybody: not in a backfill, not in a what-if."""
    ours = dag_run.dag_id.startswith(TOLD_OF)
    return ours and dag_run.run_type != BACKFILL and not (dag_run.conf or {}).get("what_if")


def pass_on_untold(dag_run: Any) -> None:
    """Start the messages that the run's tasks have left because Slack did not take them."""
    session = object_session(dag_run)
    if session is None:
        return
    session.flush()
    for task, message in read_words(session, dag_run, UNTOLD):
        summary, _, url = message.rpartition("\n")
        start_message(session, task, {"summary": summary, "url": url})


def tell_of_silent_failure(dag_run: Any) -> None:
    """Start the message, unless a failed task has told why, or the same was told before.

    All happens in the session that ends the run, which Airflow commits: the message is queued if and only if
    the run has failed. It is a DAG and not a call in the scheduler: to send takes a while and may fail.
    """
    session = object_session(dag_run)
    if session is None:
        return
    session.flush()
    failed = failed_tasks(session, dag_run)
    if not failed or has_told(session, dag_run) or is_known(session, dag_run):
        return
    start_message(session, failed[0], describe_failure(dag_run, failed[0]))


def start_message(session: Any, task: Any, report: dict[str, str]) -> None:
    """Start the message about a try of a task, once."""
    run_id = f"{task.dag_id}.{task.task_id}.{task.id}"
    if not is_there(session, TELLER, run_id):
        queue_run(session, TELLER, run_id, {"report": report})


def failed_tasks(session: Any, dag_run: Any) -> list[Any]:
    """The run's tasks that failed by themselves, in the order in which they did."""
    from airflow.models import TaskInstance

    of_run = (TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id)
    failed = select(TaskInstance).where(*of_run, TaskInstance.state == FAILED)
    return list(session.scalars(failed.order_by(TaskInstance.end_date)))


def has_told(session: Any, dag_run: Any) -> bool:
    """Whether a failed task has left word that it told why, or why it did not, or what is told for it."""
    return any(task.state == FAILED for task, _ in read_words(session, dag_run, TOLD, UNTOLD))


def read_words(session: Any, dag_run: Any, *keys: str) -> list[tuple[Any, str]]:
    """The words that the run's tasks have left, each on this try of it, with the task."""
    from airflow.models import TaskInstance
    from airflow.models.xcom import XComModel

    of_run = (XComModel.dag_id == dag_run.dag_id, XComModel.run_id == dag_run.run_id, XComModel.key.in_(keys))
    same_task = (TaskInstance.dag_id == XComModel.dag_id) & (TaskInstance.run_id == XComModel.run_id)
    same_task &= TaskInstance.task_id == XComModel.task_id
    of_try = XComModel.timestamp >= TaskInstance.start_date
    left = select(TaskInstance, XComModel.value).join(XComModel, same_task).where(*of_run, of_try)
    return [(task, word) for task, word in session.execute(left)]


def is_known(session: Any, dag_run: Any) -> bool:
    """Whether the look before has just failed too, of what looks every few minutes."""
    from airflow.models import DagRun

    if not dag_run.dag_id.startswith(WATCHES):
        return False
    earlier = (DagRun.dag_id == dag_run.dag_id, DagRun.run_after < dag_run.run_after)
    before = select(DagRun.state, DagRun.end_date).where(*earlier).order_by(DagRun.run_after.desc()).limit(1)
    return is_one_of_many(session.execute(before).first(), dag_run)


def describe_failure(dag_run: Any, task: Any) -> dict[str, str]:
    """What is known of a run that failed, as `TellOperator` takes it."""
    run = name_run(dag_run, dag_run.data_interval_start, dag_run.get_dag().timezone)
    return {"summary": f"{dag_run.dag_id}, {run}: {describe_stop(task.task_id)}", "url": task.log_url}
