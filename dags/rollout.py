"""From a few users to all of them, for pipelines with a canary; started by the push that began the trial."""

from __future__ import annotations

from airflow.sdk import DAG, Asset
from retraining.approval import ask_for_approval
from retraining.notifications import notify
from retraining.operators import (
    MLFLOW,
    RUN,
    BranchOperator,
    MoveOperator,
    TellOperator,
    WatchOperator,
    run_step,
)
from retraining.policies import RETRIES

from ml import steps

BRANCHES = {"ROLL_BACK": "withdraw_canary", "HOLD": "tell_that_it_is_held"}

for pipeline in steps.load_valid_pipelines():
    if (canary := pipeline.serving.canary) is None:
        continue
    servers = pipeline.serving.connections | MLFLOW
    prometheus = {"prometheus": canary.rollout.connection}
    with DAG(
        dag_id=f"rollout_{pipeline.name}",
        description=f"Promote or withdraw the canary: {pipeline.description}",
        schedule=[Asset(f"canary_{pipeline.name}")],
        is_paused_upon_creation=False,
        max_active_runs=1,
        default_args={"owner": pipeline.owner, "on_failure_callback": notify, **RETRIES},
        tags=["rollout", *pipeline.tags],
        doc_md=__doc__,
    ):
        name = {"pipeline": pipeline.name}
        found = run_step(steps.find_canary, name)
        trial = {**name, "trial": found, "run": RUN}
        judgement = run_step(steps.watch_canary, trial, prometheus, WatchOperator)
        decided = {**name, "judgement": judgement, "run": RUN}
        withdrawn = run_step(steps.withdraw_canary, decided, servers, MoveOperator)
        held = TellOperator(task_id="tell_that_it_is_held", report=judgement)
        if (approval := pipeline.serving.approval) and "PROMOTE" in approval.verdicts:
            good = run_step(steps.describe_canary, {**name, "judgement": judgement})
            approved = ask_for_approval(good, ["PROMOTE"], approval.response_hours)
            run = {**RUN, "approval": approved}
            promoted = run_step(steps.promote_canary, {**decided, "run": run}, servers, MoveOperator)
            branches = {**BRANCHES, "PROMOTE": "describe_canary"}
        else:
            good = promoted = run_step(steps.promote_canary, decided, servers, MoveOperator)
            branches = {**BRANCHES, "PROMOTE": "promote_canary"}
        branch = BranchOperator(task_id="decide", answer=judgement, branches=branches)
        branch >> [good, withdrawn, held]
        TellOperator(task_id="tell_that_it_is_promoted", report=promoted)
        TellOperator(task_id="tell_that_it_is_withdrawn", report=withdrawn)
