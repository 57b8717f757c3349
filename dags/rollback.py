"""Going back to a version that has been served before; one DAG per pipeline folder, started by hand."""

from __future__ import annotations

from airflow.sdk import DAG, Param
from retraining.notifications import notify
from retraining.operators import run_step
from retraining.policies import RETRIES

from ml import steps

WHO = "{{ dag.dag_id }}/{{ run_id }} ({{ dag_run.triggering_user_name or 'nobody' }})"
RUN = {"key": WHO, "url": "{{ ti.log_url.split('/tasks/')[0] }}"}
REASON = Param(
    type="string", minLength=3, maxLength=2000, description="Why, in a sentence: the ledger keeps it"
)

for pipeline in steps.load_valid_pipelines():
    connections = {"serving": pipeline.serving.connection, "mlflow": "mlflow_default"}
    to = Param(
        "previous",
        type="string",
        pattern=r"^(previous|golden|\d{11})$",
        examples=steps.versions_to_go_back_to(pipeline.name),
        description="previous (the last older one that was not rolled back), golden, or a version",
    )
    with DAG(
        dag_id=f"rollback_{pipeline.name}",
        description=f"Go back: {pipeline.description}",
        schedule=None,
        is_paused_upon_creation=False,
        max_active_runs=1,
        default_args={"owner": pipeline.owner, "on_failure_callback": notify, **RETRIES},
        params={"to": to, "reason": REASON},
        tags=["rollback", *pipeline.tags],
        doc_md=steps.roll_back.__doc__,
    ):
        wish = {"to": "{{ params.to }}", "reason": "{{ params.reason }}"}
        run_step(steps.roll_back, {"pipeline": pipeline.name, **wish, "run": RUN}, connections)
