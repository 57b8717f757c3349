"""The command line: every step, a whole night, and the schema's tools, without Airflow.

    python -m ml run --pipeline clicks --day 2026-11-20
    python -m ml train_candidate --pipeline clicks --day 2026-11-20
    python -m ml check --pipeline clicks
    python -m ml schema infer --pipeline clicks --day 2026-11-20
    python -m ml backfill plan --pipeline clicks --from 2026-11-01 --to 2026-11-20

A step runs what leads to it, and uses what is there already.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from datetime import date

from ml import steps
from ml.artifact import Window
from ml.connections import (
    KAFKA_VARIABLE,
    MLFLOW_VARIABLE,
    SERVING_VARIABLE,
    KafkaConnection,
    MlflowConnection,
    ServingConnection,
)
from ml.errors import RetrainingError, Withheld
from ml.walk import Walk

STEPS = (
    steps.resolve_production,
    steps.land_examples,
    steps.compute_statistics,
    steps.validate_examples,
    steps.measure_drift,
    steps.gather_window,
    steps.train_candidate,
    steps.evaluate_candidate,
    steps.decide_blessing,
    steps.log_to_mlflow,
    steps.push_model,
)
STOPPED, WITHHELD = 1, 3


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0 done, 1 stopped with a reason, 2 wrong usage, 3 done but not published.
    """
    chosen = build_parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
    command: Callable[[argparse.Namespace], str] = chosen.command
    try:
        print(command(chosen))
    except Withheld as withheld:
        print(f"not published: {withheld}", file=sys.stderr)
        return WITHHELD
    except RetrainingError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return STOPPED
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The commands and their arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m ml", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for step in STEPS:
        summary = (step.__doc__ or "").splitlines()[0]
        _night(commands.add_parser(step.__name__, help=summary)).set_defaults(
            command=run_step, step=step.__name__
        )
    run = commands.add_parser("run", help="The whole night: every step, in order.")
    _night(run).set_defaults(command=run_step, step="push_model")
    check = commands.add_parser("check", help="Read a pipeline's settings and schema as a run does.")
    _pipeline(check).set_defaults(command=lambda chosen: steps.check_pipeline(chosen.pipeline))
    _add_schema(commands.add_parser("schema", help="Propose a schema, or compare it with landed examples."))
    _add_backfill(commands.add_parser("backfill", help="Say what running some days again would do."))
    return parser


def run_step(chosen: argparse.Namespace) -> str:
    """Run a step, and before it what leads to it."""
    return json.dumps(getattr(_walk(chosen), chosen.step), indent=2)


def infer_schema(chosen: argparse.Namespace) -> str:
    """Propose a schema from a landed day."""
    return steps.infer_schema(_walk(chosen).land_examples)


def diff_schema(chosen: argparse.Namespace) -> str:
    """Compare the reviewed schema with what a landed day would suggest."""
    return steps.diff_schema(_walk(chosen).land_examples)


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


def _walk(chosen: argparse.Namespace) -> Walk:
    zone = steps.load_pipeline(chosen.pipeline).landing.time_zone
    return Walk(
        chosen.pipeline,
        Window.of_day(chosen.day, zone),
        refresh=chosen.refresh_production,
        accept_gap=chosen.accept_gap,
        refresh_landing=chosen.refresh,
    )


def _pipeline(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--pipeline", required=True, help="the name of its folder")
    return parser


def _night(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    _pipeline(parser).add_argument(
        "--day", required=True, type=date.fromisoformat, help="YYYY-MM-DD, in the pipeline's time zone"
    )
    parser.add_argument(
        "--refresh-production",
        default="",
        metavar="REASON",
        help="judge against what serves now, not against what served at the first try",
    )
    parser.add_argument(
        "--accept-gap",
        default="",
        metavar="REASON",
        help="land the day although the topic has lost some of it; said of everything made from the day",
    )
    parser.add_argument(
        "--refresh",
        default="",
        metavar="REASON",
        help="land the day anew, with the late events that have come by now",
    )
    return parser


def _add_schema(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="infer|diff")
    _night(commands.add_parser("infer", help="print a proposal for review")).set_defaults(
        command=infer_schema
    )
    _night(commands.add_parser("diff", help="print what a landed day suggests to change")).set_defaults(
        command=diff_schema
    )


def _add_backfill(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="plan")
    plan = commands.add_parser("plan", help="print it day by day; nothing is run or moved")
    _pipeline(plan).set_defaults(command=plan_backfill)
    plan.add_argument("--from", required=True, dest="first", metavar="DAY", help="the first day, YYYY-MM-DD")
    plan.add_argument("--to", required=True, dest="last", metavar="DAY", help="the last day, included")
    plan.add_argument("--json", action="store_true", help="for machines")


if __name__ == "__main__":
    sys.exit(main())
