"""What becomes of a version that a few users try first: look at it, promote it, withdraw it.

python -m ml rollout judge --pipeline clicks
python -m ml rollout withdraw --pipeline clicks --reason "its scores look wrong"
python -m ml rollout realised --pipeline clicks --day 2026-11-20
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from ml import steps
from ml.commands.arguments import add_command, add_day
from ml.commands.connections import canary, kafka, mlflow, prometheus, serving


def add_to(commands: Any) -> None:
    """Add the command."""
    rollout = commands.add_parser("rollout", help="The version that a few users try first.")
    actions = rollout.add_subparsers(required=True, metavar="judge|promote|withdraw|realised")
    add_command(actions, "judge", "look once at what users were answered, and change nothing", judge)
    for name, summary, run in (
        ("promote", "let the version on trial answer all users", promote),
        ("withdraw", "take the version on trial back; its content is not pushed again", withdraw),
    ):
        parser = add_command(actions, name, summary, run)
        parser.add_argument("--reason", required=True, help="why, in a sentence; the ledger keeps it")
    again = "judge the canaries of a past day by what their users did, and put it on record"
    add_day(add_command(actions, "realised", again, judge_realised))


def judge(chosen: argparse.Namespace) -> str:
    """Say what one look at the canary comes to."""
    trial = steps.find_canary(chosen.pipeline)
    return json.dumps(steps.watch_canary(chosen.pipeline, trial, prometheus=prometheus()), indent=2)


def promote(chosen: argparse.Namespace) -> str:
    """Promote the version on trial, whatever was judged."""
    return _said(steps.promote_canary(chosen.pipeline, _decided(chosen), **_connections()))


def withdraw(chosen: argparse.Namespace) -> str:
    """Withdraw the version on trial, whatever was judged."""
    return _said(steps.withdraw_canary(chosen.pipeline, _decided(chosen), **_connections()))


def judge_realised(chosen: argparse.Namespace) -> str:
    """Judge the canaries of a day by realised labels, as the DAG does."""
    window = steps.settled_window(chosen.pipeline, chosen.day)
    day = {"pipeline": chosen.pipeline, **window.as_json()}
    trials = steps.find_trials(**day)
    examples = steps.land_examples(**day, kafka=kafka())
    predictions = steps.land_predictions(**day, trials=trials, serving=serving())
    return _said(steps.record_realised(steps.judge_realised(predictions, examples), **_connections()))


def _decided(chosen: argparse.Namespace) -> dict[str, Any]:
    return {**steps.find_canary(chosen.pipeline, or_last=True), "summary": chosen.reason.strip()}


def _connections() -> dict[str, Any]:
    return {
        "serving": serving(),
        "mlflow": mlflow(),
        "canary": canary(),
    }


def _said(done: dict[str, Any]) -> str:
    return str(done["summary"])
