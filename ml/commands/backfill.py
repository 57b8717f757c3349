"""``python -m ml backfill``: several days, planned before they are run."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ml import steps
from ml.commands.arguments import add_pipeline
from ml.connections import (
    KAFKA_VARIABLE,
    MLFLOW_VARIABLE,
    SERVING_VARIABLE,
    KafkaConnection,
    MlflowConnection,
    ServingConnection,
)


def add_to(commands: Any) -> None:
    """Add the commands."""
    parser = commands.add_parser("backfill", help="Say what running some days again would do.")
    group = parser.add_subparsers(required=True, metavar="plan")
    plan = add_pipeline(group.add_parser("plan", help="print it day by day; nothing is run or moved"))
    plan.add_argument("--from", required=True, dest="first", metavar="DAY", help="the first day, YYYY-MM-DD")
    plan.add_argument("--to", required=True, dest="last", metavar="DAY", help="the last day, included")
    plan.add_argument("--json", action="store_true", help="for machines")
    plan.set_defaults(command=plan_backfill)


def plan_backfill(chosen: argparse.Namespace) -> str:
    """Say what running some days again would do."""
    plan = steps.plan_backfill(
        chosen.pipeline,
        chosen.first,
        chosen.last,
        kafka=KafkaConnection.from_variable(KAFKA_VARIABLE),
        serving=ServingConnection.from_variable(SERVING_VARIABLE),
        mlflow=MlflowConnection.from_variable(MLFLOW_VARIABLE),
    )
    return json.dumps(plan, indent=2) if chosen.json else steps.render_plan(plan)
