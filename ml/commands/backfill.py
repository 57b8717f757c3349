"""``python -m ml backfill``: several days, planned, run without Airflow, and reported."""

from __future__ import annotations

import argparse
import json
import logging
from datetime import datetime, timezone
from typing import Any

from ml import steps
from ml.artifact import Window, digest_of
from ml.code_version import code_digest
from ml.commands.arguments import add_days, add_pipeline, add_reasons, add_what_if
from ml.commands.connections import kafka, mlflow, serving
from ml.errors import Interrupted, RetrainingError
from ml.replay import Replay, replay_nights

KEY_LENGTH = 8
AIRFLOWS_CHOICE = (
    "Which of these days Airflow would run depends on --reprocess-behavior and on the runs that they have: "
    "the DAG backfill_<pipeline> asks it."
)

log = logging.getLogger(__name__)


def add_to(commands: Any) -> None:
    """Add the commands."""
    parser = commands.add_parser("backfill", help="Run some days again: plan it, run it, report it.")
    group = parser.add_subparsers(required=True, metavar="plan|run|report")
    plan = group.add_parser("plan", help="print it day by day; nothing is run or moved")
    add_reasons(add_what_if(add_days(add_pipeline(plan)))).set_defaults(command=plan_backfill)
    plan.add_argument("--json", action="store_true", help="for machines")
    run = group.add_parser("run", help="walk the nights one after the other, and report them to MLflow")
    add_what_if(add_days(add_pipeline(run))).set_defaults(command=run_backfill)
    run.add_argument("--order", choices=("forward", "backward"), default="forward", help="of the days")
    run.add_argument("--key", help="names the backfill in MLflow; by default days, settings and code do")
    report = add_pipeline(group.add_parser("report", help="report a backfill to MLflow again"))
    report.add_argument("--key", required=True, help="as the backfill's run in MLflow says: airflow/3")
    report.set_defaults(command=report_backfill)


def plan_backfill(chosen: argparse.Namespace) -> str:
    """Say what running some days again would do."""
    plan = steps.plan_backfill(
        chosen.pipeline,
        (str(chosen.first), str(chosen.last)),
        {
            "accept_gap": chosen.accept_gap,
            "refresh_landing": chosen.refresh,
            "refresh_production": chosen.refresh_production,
        },
        kafka=kafka(),
        serving=serving(),
        mlflow=mlflow(),
    )
    return json.dumps(plan, indent=2) if chosen.json else f"{steps.render_plan(plan)}\n{AIRFLOWS_CHOICE}"


def run_backfill(chosen: argparse.Namespace) -> str:
    """Walk some nights and report them.

    Whatever stops it, the nights until then are reported.

    Raises:
        Interrupted: after the report, if some nights did not come to be logged.
    """
    backfill = {
        "key": chosen.key or _key(chosen),
        "what_if": chosen.what_if,
        "started_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    replay, windows = Replay(), _windows(chosen)
    try:
        replay_nights(chosen.pipeline, windows, replay)
    except BaseException:
        log.warning("stopped in night %d of %d; reporting what was done", len(replay.nights), len(windows))
        _report_what_was_done(chosen.pipeline, backfill, replay)
        raise
    reported = _report_nights(chosen.pipeline, backfill, replay)
    if replay.failed:
        reasons = "\n".join(f"  {key}: {reason}" for key, reason in replay.failed.items())
        raise Interrupted(
            f"{len(replay.failed)} of {len(replay.nights)} nights did not come to be logged:\n{reasons}\n"
            f"The others are at {reported['url']}. Give the same command again: it goes on where it was."
        )
    return json.dumps({"key": backfill["key"], **reported}, indent=2)


def report_backfill(chosen: argparse.Namespace) -> str:
    """Report a backfill again, with what its nights have come to since."""
    known = steps.read_backfill(chosen.pipeline, chosen.key, mlflow=mlflow())
    return json.dumps(_report(chosen.pipeline, known), indent=2)


def _report_what_was_done(pipeline: str, backfill: dict[str, Any], replay: Replay) -> None:
    """Report the nights until something stopped the rest, which is what the command ends with in any case."""
    try:
        log.warning("the nights until then are at %s", _report_nights(pipeline, backfill, replay)["url"])
    except (RetrainingError, OSError) as error:
        log.warning("they could not be reported: %s: %s", type(error).__name__, error)


def _report_nights(pipeline: str, backfill: dict[str, Any], replay: Replay) -> dict[str, str]:
    return _report(pipeline, {**backfill, "nights": replay.nights, "failed": replay.failed})


def _report(pipeline: str, backfill: dict[str, Any]) -> dict[str, str]:
    return steps.report_backfill(pipeline, backfill, mlflow=mlflow())


def _windows(chosen: argparse.Namespace) -> list[Window]:
    windows = steps.backfill_windows(chosen.pipeline, str(chosen.first), str(chosen.last))
    return windows[::-1] if chosen.order == "backward" else windows


def _key(chosen: argparse.Namespace) -> str:
    """The same for the same command with the same settings and code, so that it can be given again."""
    settings = steps.load_pipeline(chosen.pipeline).model_dump(mode="json")
    tried = digest_of({"what_if": chosen.what_if, "settings": settings, "code": code_digest()})[:KEY_LENGTH]
    return f"cli/{chosen.first}_{chosen.last}/{tried}"
