"""A listener in the scheduler that writes into the note of a DAG run what the run came to, in a sentence."""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl
from airflow.models.xcom import XComModel
from sqlalchemy.orm import object_session

# By the beginning of the DAG's id: what the note begins with, and the task that has the sentence.
SUMMARIES = {
    "retrain_": ("Verdict: ", "log_to_mlflow"),
    "rollout_": ("Trial: ", "watch_canary"),
    "realised_": ("By realised labels: ", "record_realised"),
    "backfill_": ("Plan: ", "plan_backfill"),
    "watch_": ("Watch: ", "watch_production"),
    "housekeeping_": ("Plan: ", "plan_housekeeping"),
}
MAX_NOTE = 1000  # Airflow's column; PostgreSQL refuses more, and with it the scheduler's transaction


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:  # noqa: ARG001 - Airflow's signature
    """Note what a run that has ended came to."""
    write_note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:  # noqa: ARG001 - Airflow's signature
    """Note the same of a run that was stopped, if it came so far."""
    write_note(dag_run)


def write_note(dag_run: Any) -> None:
    """Write the note, unless a person has written one."""
    for prefix, (mark, task_id) in SUMMARIES.items():
        if dag_run.dag_id.startswith(prefix) and may_write(dag_run.note, mark):
            output = read_output(dag_run, task_id)
            if isinstance(output, dict) and "summary" in output:
                dag_run.note = shorten(f"{mark}{output['summary']}")


def may_write(note: str | None, mark: str) -> bool:
    """Whether the note is empty or is an earlier one of ours."""
    return not note or note.startswith(mark)


def shorten(note: str) -> str:
    """The note, cut to what Airflow can hold."""
    return note if len(note) <= MAX_NOTE else f"{note[: MAX_NOTE - 1]}…"


def read_output(dag_run: Any, task_id: str) -> Any:
    """What a task of the run returned, or None."""
    query = XComModel.get_many(
        run_id=dag_run.run_id, dag_ids=dag_run.dag_id, task_ids=task_id, key="return_value"
    )
    session = object_session(dag_run)
    found = session and session.scalars(query).first()
    return found and XComModel.deserialize_value(found)
