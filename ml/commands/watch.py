"""One look at what serves, as Airflow's watch takes it every five minutes.

python -m ml watch --pipeline clicks --dry-run
"""

from __future__ import annotations

import argparse
from typing import Any

from ml import steps
from ml.commands.arguments import add_command
from ml.commands.connections import canary, mlflow, prometheus, serving
from ml.errors import Misconfigured


def add_to(commands: Any) -> None:
    """Add the command."""
    summary = "Look once at what serves, and go back if a configured alert blames it."
    parser = add_command(commands, "watch", summary, watch)
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


def watch(chosen: argparse.Namespace) -> str:
    """Look once.

    Raises:
        Misconfigured: with all that a person has to know, if there is anything.
    """
    is_watched = steps.load_pipeline(chosen.pipeline).serving.watch is not None
    act = steps.look_at_production if chosen.dry_run else steps.watch_production
    found = act(
        chosen.pipeline,
        serving=serving(),
        mlflow=mlflow(),
        prometheus=prometheus() if is_watched else None,
        canary=canary(),
    )
    if not chosen.dry_run:
        steps.mark_told(chosen.pipeline, found["news"])
    said = f"{found['decision']}: {found['summary']}"
    if found["concerns"]:
        raise Misconfigured("\n- ".join([said, *found["concerns"]]))
    return said
