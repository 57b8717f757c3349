"""The canaries of a day, judged once more when the clicks of their users have landed; nothing is moved."""

from __future__ import annotations

import pendulum
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, CronDataIntervalTimetable
from retraining.notifications import notify
from retraining.operators import MLFLOW, RUN, BranchOperator, TellOperator, run_step
from retraining.policies import RETRIES
from retraining.sensors import SettleSensor

from ml import steps

DAY = {"start": "{{ data_interval_start }}", "end": "{{ data_interval_end }}"}
NO_DOUBT, DOUBT = "nobody_is_told", "tell_that_it_is_doubted"
BRANCHES = {"CONFIRMED": NO_DOUBT, "INCONCLUSIVE": NO_DOUBT, "DOUBTED": DOUBT}

for pipeline in steps.load_valid_pipelines():
    if (canary := pipeline.serving.canary) is None or canary.realised is None:
        continue
    serving = {"serving": pipeline.serving.connection}
    with DAG(
        dag_id=f"realised_{pipeline.name}",
        description=f"Judge the day's canaries by realised labels: {pipeline.description}",
        schedule=CronDataIntervalTimetable("0 0 * * *", timezone=pipeline.landing.time_zone),
        start_date=pendulum.datetime(2025, 1, 1, tz=pipeline.landing.time_zone),
        catchup=False,
        max_active_runs=1,
        default_args={"owner": pipeline.owner, "on_failure_callback": notify, **RETRIES},
        tags=["rollout", *pipeline.tags],
        doc_md=__doc__,
    ):
        day = {"pipeline": pipeline.name, **DAY}
        settled = SettleSensor(task_id="wait_for_settle", minutes=pipeline.landing.settle_minutes)
        trials = run_step(steps.find_trials, day)
        predictions = run_step(steps.land_predictions, {**day, "trials": trials}, serving)
        examples = run_step(steps.land_examples, day, {"kafka": pipeline.landing.connection})
        judged = {"predictions": predictions, "examples": examples}
        realised = run_step(steps.judge_realised, judged)
        servers = pipeline.serving.connections | MLFLOW
        recorded = run_step(steps.record_realised, {"realised": realised, "run": RUN}, servers)
        branch = BranchOperator(task_id="decide", answer=recorded, branches=BRANCHES)
        settled >> trials >> examples
        branch >> [EmptyOperator(task_id=NO_DOUBT), TellOperator(task_id=DOUBT, report=recorded)]
