"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import date
from typing import Any

import yaml

from ml import steps
from ml.walk import Walk


def add_pipeline(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Which pipeline."""
    parser.add_argument("--pipeline", required=True, help="the name of its folder")
    return parser


def add_command(
    commands: Any, name: str, summary: str, run: Callable[[argparse.Namespace], str]
) -> argparse.ArgumentParser:
    """A command about one pipeline."""
    parser = add_pipeline(commands.add_parser(name, help=summary))
    parser.set_defaults(command=run)
    return parser


def add_day(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Which day."""
    parser.add_argument("--day", **DAY, help=DAY_HELP)
    return parser


def add_days(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Which days: ``first`` and ``last``."""
    parser.add_argument("--from", dest="first", **DAY, help=f"the first day, {DAY_HELP}")
    parser.add_argument("--to", dest="last", **DAY, help=f"the last day, {DAY_HELP}")
    return parser


def add_night(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Which night, what is tried, and the reasons that a person may have to do it otherwise."""
    return add_reasons(add_what_if(add_day(add_pipeline(parser))))


def add_reasons(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The reasons that a person may have to do a night otherwise."""
    for option, meaning in REASONS.items():
        parser.add_argument(option, default="", metavar="REASON", help=meaning)
    return parser


def add_what_if(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """What is tried, if the command is to change nothing that is in operation."""
    parser.add_argument(
        "--what-if",
        default="",
        metavar="NAME",
        help="try this code, or the settings of --set, beside the normal nights; nothing is published",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        dest="settings",
        metavar="PATH=VALUE",
        help="with --what-if: another setting, such as training.epochs=4; may be repeated",
    )
    return parser


def walk_of(chosen: argparse.Namespace) -> Walk:
    """The night that the arguments name.

    Raises:
        Misconfigured: if its day has not settled.
    """
    return Walk(
        chosen.pipeline,
        steps.settled_window(chosen.pipeline, chosen.day),
        refresh=chosen.refresh_production,
        accept_gap=chosen.accept_gap,
        refresh_landing=chosen.refresh,
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no day ({error}); expected YYYY-MM-DD, like 2026-11-20"
        ) from error


def _setting(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not path or not equals:
        raise argparse.ArgumentTypeError(f"expected PATH=VALUE, such as training.epochs=4, got {text!r}")
    try:
        return path, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"{value!r} could not be read as YAML: {error}") from error


DAY: Any = {"required": True, "metavar": "DAY", "type": _day}
DAY_HELP = "YYYY-MM-DD, in the pipeline's time zone"
REASONS = {
    "--refresh-production": "judge against what serves now, not against what served at the first try",
    "--accept-gap": "land the day although the topic has lost some of it; said of everything made from it",
    "--refresh": "land the day anew, with the late events that have come by now",
}
