"""Going back to a version that has been served before; one DAG per pipeline folder, started by hand."""

from __future__ import annotations

from airflow.sdk import DAG, Param
from retraining.notifications import notify
from retraining.operators import MLFLOW, RUN, run_step
from retraining.policies import RETRIES

from ml import steps

WHO = "{{ dag.dag_id }}/{{ run_id }} ({{ dag_run.triggering_user_name or 'nobody' }})"
TO = """Users get it within seconds. **previous** is the last older version that has served and was not rolled
back; it is looked up when this runs, while the list is some minutes old. Times are UTC."""
REASON = Param(
    type="string",
    minLength=3,
    maxLength=2000,
    title="Reason",
    description="What you saw, in a sentence: the ledger keeps it, and what is left is not published again",
)

for pipeline in steps.load_valid_pipelines():
    connections = {"serving": pipeline.serving.connection, **MLFLOW}
    destinations = steps.versions_to_go_back_to(pipeline.name)
    to = Param(
        "previous",
        type="string",
        enum=list(destinations),
        values_display=destinations,
        title="Go back to",
        description_md=TO,
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
        run_step(
            steps.roll_back, {"pipeline": pipeline.name, **wish, "run": {**RUN, "key": WHO}}, connections
        )
