"""``python -m ml STEP`` and ``python -m ml run``: a night, as far as is wished."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ml import steps
from ml.commands.arguments import add_night, walk_of

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


def add_to(commands: Any) -> None:
    """Add a command for every step, and one for all of them."""
    for step in STEPS:
        summary = (step.__doc__ or "").splitlines()[0]
        one = add_night(commands.add_parser(step.__name__, help=summary))
        one.set_defaults(command=run_step, step=step.__name__)
    run = add_night(commands.add_parser("run", help="The whole night: every step, in order."))
    run.set_defaults(command=run_step, step="push_model")


def run_step(chosen: argparse.Namespace) -> str:
    """Run a step, and before it what leads to it."""
    return json.dumps(getattr(walk_of(chosen), chosen.step), indent=2)
