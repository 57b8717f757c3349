"""Runs of this bundle's DAGs that a listener starts, in the session of what it listens to."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import select


def is_there(session: Any, dag_id: str, run_id: str) -> bool:
    """Whether the run was queued before, whatever has become of it."""
    from airflow.models import DagRun

    same = (DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    return session.scalar(select(DagRun.id).where(*same)) is not None


def queue_run(session: Any, dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
    """Have the scheduler run a DAG by itself; it does so if and only if the session is committed.

    Raises:
        LookupError: Airflow does not know the DAG.
    """
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    found = SerializedDagModel.get(dag_id, session=session)
    if found is None:
        raise LookupError(f"Airflow knows no DAG {dag_id}, so nobody is told by its run {run_id}")
    found.dag.create_dagrun(
        run_id=run_id,
        run_after=datetime.now(timezone.utc),
        conf=conf,
        run_type=DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.OPERATOR,
        state=DagRunState.QUEUED,
        session=session,
    )
