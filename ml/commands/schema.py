"""``python -m ml check`` and ``python -m ml schema``: a pipeline's folder, and what days suggest for it."""

from __future__ import annotations

import argparse
from typing import Any

from ml import steps
from ml.commands.arguments import add_day, add_night, add_pipeline, walk_of

NOTHING = "nothing"


def add_to(commands: Any) -> None:
    """Add the commands."""
    check = add_pipeline(
        commands.add_parser("check", help="Read a pipeline's settings and schema as a run does.")
    )
    check.set_defaults(command=lambda chosen: steps.check_pipeline(chosen.pipeline))
    parser = commands.add_parser("schema", help="Propose, compare or bring back a schema.")
    group = parser.add_subparsers(required=True, metavar="infer|diff|restore")
    infer = add_night(group.add_parser("infer", help="print a proposal for review; lands the day first"))
    infer.set_defaults(command=infer_schema)
    diff = group.add_parser("diff", help="print what has changed since a night, and what its day suggests")
    add_day(add_pipeline(diff)).set_defaults(command=diff_schema)
    restore = group.add_parser("restore", help="go back to the schema that a night was held against")
    add_day(add_pipeline(restore)).set_defaults(command=restore_schema)


def infer_schema(chosen: argparse.Namespace) -> str:
    """Propose a schema from a landed day."""
    return steps.infer_schema(walk_of(chosen).land_examples)


def diff_schema(chosen: argparse.Namespace) -> str:
    """Compare the reviewed schema with that of a night, and with what the night's examples suggest.

    It only reads: a day that is not landed is not landed by it.
    """
    changed = "\n".join(steps.compare_schema(chosen.pipeline, chosen.day))
    return (
        f"Changed since the night of {chosen.day}:\n{changed or NOTHING}\n\n"
        f"Suggested by its examples:\n{_suggestion(chosen)}"
    )


def restore_schema(chosen: argparse.Namespace) -> str:
    """Go back to the schema that a night was held against."""
    return steps.restore_schema(chosen.pipeline, chosen.day)


def _suggestion(chosen: argparse.Namespace) -> str:
    """A night's schema is kept for longer than its examples, and is worth showing without them."""
    if examples := steps.find_examples(chosen.pipeline, chosen.day):
        return steps.diff_schema(examples) or NOTHING
    return (
        f"(missing: {chosen.day} is not landed with the settings and the columns as they are now; land it "
        f"with `python -m ml land_examples --pipeline {chosen.pipeline} --day {chosen.day}`)"
    )
