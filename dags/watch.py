"""Every few minutes, whether what serves does harm; one DAG per pipeline folder, on if it watches alerts.

Nothing is tried again: the next look is minutes away, and it brings what was not told.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, CronTriggerTimetable
from retraining.notifications import notify_of_first
from retraining.operators import MLFLOW, RUN, TellNewsOperator, run_step

from ml import steps

for pipeline in steps.load_valid_pipelines():
    watch = pipeline.serving.watch
    connections = pipeline.serving.connections | MLFLOW
    if watch:
        connections["prometheus"] = watch.connection
    with DAG(
        dag_id=f"watch_{pipeline.name}",
        description=f"Watch what serves, and go back if an alert blames it: {pipeline.description}",
        schedule=CronTriggerTimetable("*/5 * * * *", timezone="UTC"),
        start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=watch is None,
        default_args={"owner": pipeline.owner, "on_failure_callback": notify_of_first},
        tags=["watch", *pipeline.tags],
        doc_md=steps.watch_production.__doc__,
    ):
        look = run_step(steps.watch_production, {"pipeline": pipeline.name, "run": RUN}, connections)
        TellNewsOperator(task_id="tell", report=look)
