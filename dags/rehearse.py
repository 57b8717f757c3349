"""The way back to the golden version, rehearsed every day at noon on a model server that answers nobody."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, CronTriggerTimetable
from retraining.notifications import notify
from retraining.operators import run_step
from retraining.policies import RETRIES

from ml import steps

for pipeline in steps.load_valid_pipelines():
    connections = {"serving": pipeline.serving.connection, "scratch": "serving_scratch"}
    with DAG(
        dag_id=f"rehearse_{pipeline.name}",
        description=f"Rehearse the way back: {pipeline.description}",
        schedule=CronTriggerTimetable("0 12 * * *", timezone=pipeline.landing.time_zone),
        start_date=pendulum.datetime(2025, 1, 1, tz=pipeline.landing.time_zone),
        catchup=False,
        is_paused_upon_creation=False,
        max_active_runs=1,
        default_args={"owner": pipeline.owner, "on_failure_callback": notify, **RETRIES},
        tags=["rollback", *pipeline.tags],
        doc_md=steps.rehearse_golden.__doc__,
    ):
        whose = {"pipeline": pipeline.name}
        run_step(steps.find_golden, whose) >> run_step(steps.rehearse_golden, whose, connections)
