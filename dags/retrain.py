"""The nightly walk from topic to served model, one DAG per pipeline folder."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param, TriggerRule
from retraining.approval import ask_for_approval
from retraining.notifications import notify
from retraining.operators import MLFLOW, RUN, LogOperator, MoveOperator, TrainOperator, run_step
from retraining.policies import RETRIES
from retraining.sensors import SettleSensor

from ml import steps

ALL_DONE = TriggerRule.ALL_DONE
# A run that is of no day ends in the words of a step, not of a template: two of its tasks run in any case.
NIGHT = {
    "start": "{{ data_interval_start | default('', true) }}",
    "end": "{{ data_interval_end | default('', true) }}",
}
REFRESH = Param(
    "", type="string", description="A reason to judge against what serves now, not what served then"
)
ACCEPT_GAP = Param("", type="string", description="A reason to land the day although records of it are gone")
REFRESH_LANDING = Param(
    "", type="string", description="A reason to land the day anew, with the late events that have come by now"
)
WHAT_IF = Param(
    "",
    type="string",
    pattern=r"^([a-z0-9][a-z0-9_-]{0,39})?$",
    description="A name for a try of other settings or code: nothing of it is published",
)
WHAT_IF_SETTINGS = Param({}, type="object", description='Of the try, such as {"training.epochs": 4}')
LANDING = {"accept_gap": "{{ params.accept_gap }}", "refresh": "{{ params.refresh_landing }}"}

for pipeline in steps.load_valid_pipelines():
    kafka = {"kafka": pipeline.landing.connection}
    serving = {"serving": pipeline.serving.connection}
    trial = [Asset(f"canary_{pipeline.name}")] if pipeline.serving.canary else []
    with DAG(
        dag_id=f"retrain_{pipeline.name}",
        description=pipeline.description,
        schedule=CronDataIntervalTimetable("0 0 * * *", timezone=pipeline.landing.time_zone),
        start_date=pendulum.datetime(2025, 1, 1, tz=pipeline.landing.time_zone),
        catchup=False,
        max_active_runs=1,
        default_args={"owner": pipeline.owner, "on_failure_callback": notify, **RETRIES},
        params={
            "refresh_production": REFRESH,
            "accept_gap": ACCEPT_GAP,
            "refresh_landing": REFRESH_LANDING,
            "what_if": WHAT_IF,
            "what_if_settings": WHAT_IF_SETTINGS,
        },
        tags=["retraining", *pipeline.tags],
        doc_md=steps.__doc__,
    ):
        night = {"pipeline": pipeline.name, **NIGHT}
        settled = SettleSensor(task_id="wait_for_settle", minutes=pipeline.landing.settle_minutes)
        refresh = {"refresh": "{{ params.refresh_production }}"}
        production = run_step(steps.resolve_production, {**night, **refresh}, serving | MLFLOW)
        examples = run_step(steps.land_examples, {**night, **LANDING}, kafka)
        statistics = run_step(steps.compute_statistics, {"examples": examples})
        landed = {"examples": examples, "statistics": statistics}
        anomalies = run_step(steps.validate_examples, landed)
        drift_report = run_step(steps.measure_drift, {"statistics": statistics, "production": production})
        window = run_step(steps.gather_window, {**landed, "anomalies": anomalies}, kafka)
        model = run_step(steps.train_candidate, {"training_window": window}, operator=TrainOperator)
        judged = {"model": model, "production": production, "training_window": window}
        evaluation = run_step(steps.evaluate_candidate, judged)
        measured = {"anomalies": anomalies, "drift_report": drift_report, "evaluation": evaluation}
        evidence = {"evidence": {"production": production, **measured}}
        blessing = run_step(steps.decide_blessing, {**night, **evidence}, trigger_rule=ALL_DONE)
        made = {"artifacts": {**landed, **judged, **measured, "blessing": blessing}}
        logged = run_step(steps.log_to_mlflow, {**night, **made, "run": RUN}, MLFLOW, LogOperator, ALL_DONE)
        published = {"blessing": blessing, "logged": logged}
        if (approval := pipeline.serving.approval) and (verdicts := approval.before_push):
            question = run_step(steps.describe_night, published)
            approved = ask_for_approval(question, verdicts, approval.response_hours)
            published = {**published, "approval": approved}
        servers = pipeline.serving.connections | MLFLOW
        pushed = run_step(steps.push_model, published, servers, MoveOperator, outlets=trial)
        settled >> [production, examples]
        [drift_report, evaluation] >> pushed
