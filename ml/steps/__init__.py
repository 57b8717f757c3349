"""The steps of a night. Airflow's tasks and the command line call these and nothing below.

A step names what it makes and from what, and lets its domain write it. Each domain is imported by the
step that needs it: landing and the gate wait for no TensorFlow.
"""

from ml.pipelines import load_pipeline, load_valid_pipelines, pipeline_names
from ml.steps.approval import describe_canary, describe_night
from ml.steps.backfill import plan_backfill, read_backfill, render_plan, report_backfill
from ml.steps.data import (
    check_pipeline,
    compute_statistics,
    diff_schema,
    gather_window,
    infer_schema,
    measure_drift,
    validate_examples,
)
from ml.steps.housekeeping import housekeep, plan_housekeeping, render_housekeeping
from ml.steps.landing import land_examples
from ml.steps.metrics import serve_metrics
from ml.steps.model import evaluate_candidate, stop_training, train_candidate
from ml.steps.realised import find_trials, judge_realised, land_predictions, record_realised
from ml.steps.rollout import find_canary, promote_canary, watch_canary, withdraw_canary
from ml.steps.serving import (
    find_golden,
    read_ledger,
    read_served,
    readmit,
    reconcile,
    rehearse_golden,
    roll_back,
    set_golden,
    show_golden,
    versions_to_go_back_to,
)
from ml.steps.snapshots import compare_schema, diff_statistics, find_examples, restore_schema
from ml.steps.verdict import decide_blessing, log_to_mlflow, push_model, resolve_production
from ml.steps.watch import look_at_production, mark_told, watch_production
from ml.steps.windows import backfill_windows, settled_window
from ml.what_if import trying

__all__ = [
    "backfill_windows",
    "check_pipeline",
    "compare_schema",
    "compute_statistics",
    "decide_blessing",
    "describe_canary",
    "describe_night",
    "diff_schema",
    "diff_statistics",
    "evaluate_candidate",
    "find_canary",
    "find_examples",
    "find_golden",
    "find_trials",
    "gather_window",
    "housekeep",
    "infer_schema",
    "judge_realised",
    "land_examples",
    "land_predictions",
    "load_pipeline",
    "load_valid_pipelines",
    "log_to_mlflow",
    "look_at_production",
    "mark_told",
    "measure_drift",
    "pipeline_names",
    "plan_backfill",
    "plan_housekeeping",
    "promote_canary",
    "push_model",
    "read_backfill",
    "read_ledger",
    "read_served",
    "readmit",
    "reconcile",
    "record_realised",
    "rehearse_golden",
    "render_housekeeping",
    "render_plan",
    "report_backfill",
    "resolve_production",
    "restore_schema",
    "roll_back",
    "serve_metrics",
    "set_golden",
    "settled_window",
    "show_golden",
    "stop_training",
    "train_candidate",
    "trying",
    "validate_examples",
    "versions_to_go_back_to",
    "watch_canary",
    "watch_production",
    "withdraw_canary",
]
