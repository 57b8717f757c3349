"""Removing what is no longer needed, one DAG per pipeline folder: the plan, then the deed."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, CronTriggerTimetable, Param
from retraining.housekeeping import HousekeepingOperator
from retraining.notifications import notify
from retraining.operators import MLFLOW, run_step
from retraining.policies import RETRIES

from ml import steps

DRY_RUN = Param(False, type="boolean", title="Dry run", description="Only say what would be removed, and why")

for pipeline in steps.load_valid_pipelines():
    connections = pipeline.serving.connections | MLFLOW
    with DAG(
        dag_id=f"housekeeping_{pipeline.name}",
        description=f"Remove what is no longer needed of {pipeline.name}",
        schedule=CronTriggerTimetable("0 14 * * *", timezone=pipeline.landing.time_zone),
        start_date=pendulum.datetime(2025, 1, 1, tz=pipeline.landing.time_zone),
        catchup=False,
        max_active_runs=1,
        render_template_as_native_obj=True,
        default_args={"owner": pipeline.owner, "on_failure_callback": notify, **RETRIES},
        params={"dry_run": DRY_RUN},
        tags=["housekeeping", *pipeline.tags],
        doc_md=steps.housekeep.__doc__,
    ):
        whose = {"pipeline": pipeline.name}
        plan = run_step(steps.plan_housekeeping, whose, connections, HousekeepingOperator)
        deed = {**whose, "dry_run": "{{ params.dry_run }}"}
        plan >> run_step(steps.housekeep, deed, connections, HousekeepingOperator)
