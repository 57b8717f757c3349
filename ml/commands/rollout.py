"""What becomes of a version that a few users try first: look at it, promote it, withdraw it.

python -m ml rollout judge --pipeline clicks
python -m ml rollout withdraw --pipeline clicks --reason "its scores look wrong"
"""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from ml import steps
from ml.commands.arguments import add_pipeline
from ml.connections import (
    CANARY_VARIABLE,
    MLFLOW_VARIABLE,
    PROMETHEUS_VARIABLE,
    SERVING_VARIABLE,
    MlflowConnection,
    PrometheusConnection,
    ServingConnection,
)


def add_to(commands: Any) -> None:
    """Add the command."""
    rollout = commands.add_parser("rollout", help="The version that a few users try first.")
    actions = rollout.add_subparsers(required=True, metavar="judge|promote|withdraw")
    _add(actions, "judge", "look once at what users were answered, and change nothing", judge)
    for name, summary, run in (
        ("promote", "let the version on trial answer all users", promote),
        ("withdraw", "take the version on trial back; its content is not pushed again", withdraw),
    ):
        parser = _add(actions, name, summary, run)
        parser.add_argument("--reason", required=True, help="why, in a sentence; the ledger keeps it")


def judge(chosen: argparse.Namespace) -> str:
    """Say what one look at the canary comes to."""
    trial = steps.find_canary(chosen.pipeline)
    prometheus = PrometheusConnection.from_variable(PROMETHEUS_VARIABLE)
    return json.dumps(steps.watch_canary(chosen.pipeline, trial, prometheus=prometheus), indent=2)


def promote(chosen: argparse.Namespace) -> str:
    """Promote the version on trial, whatever was judged."""
    return _said(steps.promote_canary(chosen.pipeline, _decided(chosen), **_connections()))


def withdraw(chosen: argparse.Namespace) -> str:
    """Withdraw the version on trial, whatever was judged."""
    return _said(steps.withdraw_canary(chosen.pipeline, _decided(chosen), **_connections()))


def _decided(chosen: argparse.Namespace) -> dict[str, Any]:
    return {**steps.find_canary(chosen.pipeline), "summary": chosen.reason.strip()}


def _connections() -> dict[str, Any]:
    return {
        "serving": ServingConnection.from_variable(SERVING_VARIABLE),
        "mlflow": MlflowConnection.from_variable(MLFLOW_VARIABLE),
        "canary": ServingConnection.from_variable(CANARY_VARIABLE) if CANARY_VARIABLE in os.environ else None,
    }


def _said(done: dict[str, Any]) -> str:
    return str(done["summary"])


def _add(actions: Any, name: str, summary: str, run: Any) -> argparse.ArgumentParser:
    parser = add_pipeline(actions.add_parser(name, help=summary))
    parser.set_defaults(command=run)
    return parser
