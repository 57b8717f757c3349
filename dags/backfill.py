"""What a backfill would do, said before it is started; one DAG per pipeline folder, triggered by hand."""

from __future__ import annotations

from airflow.sdk import DAG, Param
from retraining.operators import MLFLOW, run_step
from retraining.planning import REASONS, REPROCESS_BEHAVIORS, PlanOperator
from retraining.policies import RETRIES

from ml import steps

FIRST = Param(type="string", format="date", title="First day", description="In the pipeline's time zone")
LAST = Param(type="string", format="date", title="Last day", description="Included")
REPROCESS = Param(
    "completed",
    enum=list(REPROCESS_BEHAVIORS),
    title="Days that were run before",
    description="none: only days without a run. failed: those that failed too. completed: all",
)
PARALLEL = Param(1, type="integer", minimum=1, title="Nights at a time")
BACKWARDS = Param(False, type="boolean", title="The last day first")
WHAT_IF = Param(
    "",
    type="string",
    pattern=r"^([a-z0-9][a-z0-9_-]{0,39})?$",
    title="What if",
    description="A name for a try of other settings or code: nothing of it is published",
)
ACCEPT_GAP = Param(
    "",
    type="string",
    title="Accept gaps",
    description="A reason to land days although records of them are gone",
)
REFRESH_LANDING = Param(
    "",
    type="string",
    title="Land anew",
    description="A reason to land days anew, with the late events of now",
)
REFRESH_PRODUCTION = Param(
    "", type="string", title="Judge anew", description="A reason to judge against what serves now"
)
WHAT_IF_SETTINGS = Param(
    {}, type="object", title="Settings of the try", description='Such as {"training.epochs": 4}'
)

for pipeline in steps.load_valid_pipelines():
    with DAG(
        dag_id=f"backfill_{pipeline.name}",
        description=f"Plan a backfill of retrain_{pipeline.name}: nothing is run, made or moved",
        schedule=None,
        default_args={"owner": pipeline.owner, **RETRIES},
        params={
            "first": FIRST,
            "last": LAST,
            "reprocess_behavior": REPROCESS,
            "max_active_runs": PARALLEL,
            "run_backwards": BACKWARDS,
            "accept_gap": ACCEPT_GAP,
            "refresh_landing": REFRESH_LANDING,
            "refresh_production": REFRESH_PRODUCTION,
            "what_if": WHAT_IF,
            "what_if_settings": WHAT_IF_SETTINGS,
        },
        tags=["retraining", *pipeline.tags],
        doc_md=__doc__,
    ):
        days = {"pipeline": pipeline.name, "days": ["{{ params.first }}", "{{ params.last }}"]}
        asked = {"asked": {reason: f"{{{{ params.{reason} }}}}" for reason in REASONS}}
        servers = {
            "kafka": pipeline.landing.connection,
            "serving": pipeline.serving.connection,
            **MLFLOW,
        }
        run_step(steps.plan_backfill, {**days, **asked}, servers, PlanOperator)
