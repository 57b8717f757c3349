"""``python -m ml housekeeping``: remove what is no longer needed, or say what would be."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ml import steps
from ml.commands.arguments import add_pipeline
from ml.commands.connections import canary, mlflow, serving


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_pipeline(
        commands.add_parser("housekeeping", help="Remove old versions and artifacts that nothing needs.")
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed, and why")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(command=housekeep)


def housekeep(chosen: argparse.Namespace) -> str:
    """Remove it, or say what would be removed."""
    done = steps.housekeep(
        chosen.pipeline,
        chosen.dry_run,
        serving=serving(),
        mlflow=mlflow(),
        canary=canary(),
    )
    return json.dumps(done, indent=2) if chosen.json else steps.render_housekeeping(done)
