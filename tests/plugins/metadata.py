"""Airflow's own tables, as a scheduler's session sees them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pendulum
from airflow.models import DagModel, DagRun
from airflow.models.backfill import Backfill
from airflow.models.dagbundle import DagBundleModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select
from sqlalchemy.orm import Session

FIRST = datetime(2026, 11, 1, tzinfo=timezone.utc)
NIGHTS = "retrain_clicks"


class Metadata:
    """DAGs and their runs.

    Args:
        session: of the scheduler.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        session.add(DagBundleModel(name="bundle"))
        session.flush()

    def add_dag(self, dag_id: str, *tasks: str, time_zone: str = "UTC") -> None:
        """Make a DAG of tasks that do nothing known to Airflow."""
        with DAG(dag_id, schedule=None, start_date=pendulum.datetime(2025, 1, 1, tz=time_zone)) as dag:
            for task_id in tasks:
                EmptyOperator(task_id=task_id)
        self.session.add(DagModel(dag_id=dag_id, bundle_name="bundle", fileloc="dag.py"))
        self.session.flush()
        found = LazyDeserializedDAG.from_dag(dag)
        SerializedDagModel.write_dag(found, bundle_name="bundle", session=self.session)
        self.session.flush()

    def add_backfill(self, dag_id: str = NIGHTS) -> Backfill:
        """Begin a backfill."""
        backfill = Backfill(dag_id=dag_id, from_date=FIRST, to_date=FIRST, created_at=FIRST)
        self.session.add(backfill)
        self.session.flush()
        return backfill

    def add_night(
        self, backfill: Backfill | None, number: float = 0, dag_id: str = NIGHTS, **conf: str
    ) -> DagRun:
        """Begin the night of this day, counted from the first, with these parameters."""
        dag_id = backfill.dag_id if backfill else dag_id
        day = FIRST + timedelta(days=number)
        return SerializedDagModel.get(dag_id, session=self.session).dag.create_dagrun(
            run_id=f"backfill__{day.isoformat()}" if backfill else f"scheduled__{day.isoformat()}",
            logical_date=day,
            data_interval=(day, day + timedelta(days=1)),
            run_after=day,
            conf=conf,
            run_type=DagRunType.BACKFILL_JOB if backfill else DagRunType.SCHEDULED,
            triggered_by=DagRunTriggeredByType.TEST,
            state="running",
            backfill_id=backfill.id if backfill else None,
            session=self.session,
        )

    def runs(self, dag_id: str) -> list[DagRun]:
        """The runs of a DAG."""
        return list(self.session.scalars(select(DagRun).where(DagRun.dag_id == dag_id)))
