"""One message about a whole backfill, one DAG per pipeline folder; started when its last night is over."""

from __future__ import annotations

from airflow.sdk import DAG, Param
from retraining.notifications import notify
from retraining.operators import MLFLOW, TellOperator, run_step
from retraining.policies import RETRIES

from ml import steps

BACKFILL = Param(
    type="object",
    required=["key", "nights"],
    description="As ml.steps.report_backfill takes it: key, nights, what_if, started_at, failed",
)

for pipeline in steps.load_valid_pipelines():
    with DAG(
        dag_id=f"report_backfill_{pipeline.name}",
        description=f"What a backfill of {pipeline.name} came to",
        schedule=None,
        is_paused_upon_creation=False,
        render_template_as_native_obj=True,
        default_args={"owner": pipeline.owner, "on_failure_callback": notify, **RETRIES},
        params={"backfill": BACKFILL},
        tags=["retraining", *pipeline.tags],
        doc_md=__doc__,
    ):
        told = {"pipeline": pipeline.name, "backfill": "{{ params.backfill }}"}
        report = run_step(steps.report_backfill, told, MLFLOW)
        TellOperator(task_id="tell", report=report)
