"""A listener in the scheduler that writes a night's verdict into the note of its DAG run."""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl
from airflow.models.xcom import XComModel
from sqlalchemy.orm import object_session

DAG_PREFIX = "retrain_"
MARK = "Verdict: "
MAX_NOTE = 1000  # Airflow's column; PostgreSQL refuses more, and with it the scheduler's transaction


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:  # noqa: ARG001 - Airflow's signature
    """Note the verdict of a night that ran to its end."""
    write_note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:  # noqa: ARG001 - Airflow's signature
    """Note the verdict of a night that was stopped, if it came as far as a verdict."""
    write_note(dag_run)


def write_note(dag_run: Any) -> None:
    """Write the note, unless a person has written one."""
    if not dag_run.dag_id.startswith(DAG_PREFIX) or not may_write(dag_run.note):
        return
    logged = read_output(dag_run, "log_to_mlflow")
    if isinstance(logged, dict) and "summary" in logged:
        dag_run.note = shorten(f"{MARK}{logged['summary']}")


def may_write(note: str | None) -> bool:
    """Whether the note is empty or is an earlier one of ours."""
    return not note or note.startswith(MARK)


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
