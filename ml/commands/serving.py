"""What an operator does at night: look at the ledger, go back, name a golden version, compare who says what.

    python -m ml rollback --pipeline clicks --to previous --reason "clicks fell by half"
    python -m ml ledger --pipeline clicks --at 2026-03-14T09:00
    python -m ml golden set --pipeline clicks --version 20261120001 --reason "two calm weeks"
    python -m ml reconcile --pipeline clicks

All of them work while Airflow is down, and the first two while MLflow is down.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from ml import steps
from ml.commands.arguments import add_command
from ml.commands.connections import canary, mlflow, scratch, serving
from ml.errors import Misconfigured
from ml.terminal import render_table

Line = dict[str, Any]
LEDGER_COLUMNS = ("line", "time", "event", "action", "label", "from", "to", "who", "verdict", "reason")


def add_to(commands: Any) -> None:
    """Add the commands."""
    _add_rollback(commands)
    _add_ledger(commands)
    _add_golden(commands)
    _add_readmit(commands)
    reconcile = add_command(commands, "reconcile", "Compare what server, registry and ledger say.", compare)
    reconcile.add_argument(
        "--settle",
        action="store_true",
        help="first finish a move that was lost on its way, as a night would",
    )


def go_back(chosen: argparse.Namespace) -> str:
    """Go back to a version that has been served before."""
    done = steps.roll_back(chosen.pipeline, chosen.to, chosen.reason, serving=serving(), mlflow=mlflow())
    said = f"{chosen.pipeline} is served by {done['version']} (before: {done['previous']})"
    return f"{said}, after {done['seconds']:.1f} s. {_followed(chosen.pipeline, done['aliased'])}"


def list_ledger(chosen: argparse.Namespace) -> str:
    """List the ledger, or say what served at a moment."""
    if chosen.at:
        served = steps.read_served(chosen.pipeline, chosen.at)
        return json.dumps(served, indent=2) if chosen.json else _standing(served)
    lines = steps.read_ledger(chosen.pipeline)
    if chosen.json:
        return json.dumps(lines, indent=2)
    if not lines:
        return f"nothing of {chosen.pipeline} was published yet: the ledger is empty"
    return render_table([{**line, "time": line["time"][:19]} for line in lines], LEDGER_COLUMNS)


def set_golden(chosen: argparse.Namespace) -> str:
    """Name a version golden."""
    done = steps.set_golden(
        chosen.pipeline, chosen.version, chosen.reason, serving=serving(), mlflow=mlflow()
    )
    said = f"{done['version']} is golden (before: {done['previous']})"
    return f"{said}. {_followed(chosen.pipeline, done['aliased'])}"


def show_golden(chosen: argparse.Namespace) -> str:
    """Say which version is golden, and when going back to it was last rehearsed."""
    return json.dumps(steps.show_golden(chosen.pipeline), indent=2)


def rehearse_golden(chosen: argparse.Namespace) -> str:
    """Rehearse the way back to the golden version."""
    done = steps.rehearse_golden(chosen.pipeline, serving=serving(), scratch=scratch())
    return json.dumps(done, indent=2)


def readmit(chosen: argparse.Namespace) -> str:
    """Let a version that was rolled back be published again."""
    withheld = steps.readmit(
        chosen.pipeline, chosen.version, chosen.reason, serving=serving(), mlflow=mlflow()
    )
    rest = "; ".join(f"{version} ({why})" for version, why in withheld.items()) or "none"
    return f"{chosen.version} may be published again. Still withheld: {rest}"


def compare(chosen: argparse.Namespace) -> str:
    """Compare what server, registry and ledger say.

    Raises:
        Misconfigured: if they differ, with the table and the one safe command.
    """
    found = steps.reconcile(
        chosen.pipeline, chosen.settle, serving=serving(), mlflow=mlflow(), canary=canary()
    )
    users = {"label": steps.load_pipeline(chosen.pipeline).serving.label, **found}
    rows = [row for label in (users, *found["others"]) for row in _three(label)]
    report = f"{render_table(rows, ('label', 'who', 'says'))}\n{found['finding']}"
    if found["agree"]:
        return report
    raise Misconfigured(f"\n{report}\n{found['command'] and 'Run: ' + found['command']}".rstrip())


def _three(said: dict[str, Any]) -> list[dict[str, str]]:
    asked = {"model server": "server", "registry": "registry", "ledger": "ledger"}
    return [{"label": said["label"], "who": who, "says": said[name]} for who, name in asked.items()]


def _followed(pipeline: str, aliased: bool) -> str:
    if aliased:
        return "The ledger and MLflow say so too."
    return (
        "MLflow did not follow: the next night has it follow, or when it answers: python -m ml reconcile "
        f"--pipeline {pipeline} --settle"
    )


def _standing(served: dict[str, Any]) -> str:
    line, moving = served["line"], served["on_the_way"]
    if line is None:
        said = f"at {served['at']} nothing was served yet"
    else:
        said = (
            f"at {served['at']} version {line['to']} was served: {line['action']} of {line['time'][:19]} by "
            f"{line['who']}, {line['reason']}"
        )
    return f"{said}; a {moving['action']} to {moving['to']} was under way" if moving else said


def _add_rollback(commands: Any) -> None:
    rollback = add_command(commands, "rollback", "Go back to a version that has been served before.", go_back)
    rollback.add_argument("--to", required=True, metavar="previous|golden|VERSION")
    _reason(rollback)


def _add_ledger(commands: Any) -> None:
    ledger = add_command(
        commands, "ledger", "List who moved what when, or say what served when.", list_ledger
    )
    ledger.add_argument("--at", metavar="TIME", help="ISO 8601; in the pipeline's time zone if it has none")
    ledger.add_argument("--json", action="store_true", help="for machines")


def _add_golden(commands: Any) -> None:
    golden = commands.add_parser("golden", help="The version that a person trusts, and the way back to it.")
    actions = golden.add_subparsers(required=True, metavar="set|show|rehearse")
    chosen = add_command(actions, "set", "name a published version golden", set_golden)
    chosen.add_argument("--version", required=True)
    _reason(chosen)
    add_command(actions, "show", "which one it is, and when the way back was last rehearsed", show_golden)
    add_command(actions, "rehearse", "go back to it on the server of RETRAIN_SCRATCH", rehearse_golden)


def _add_readmit(commands: Any) -> None:
    again = add_command(commands, "readmit", "Let a rolled-back version be published again.", readmit)
    again.add_argument("--version", required=True)
    _reason(again)


def _reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", required=True, help="why, in a sentence; the ledger keeps it")
