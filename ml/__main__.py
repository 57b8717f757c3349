"""The command line: all that the DAGs do, and more, without Airflow.

    python -m ml run --pipeline clicks --day 2026-11-20
    python -m ml train_candidate --pipeline clicks --day 2026-11-20
    python -m ml check --pipeline clicks
    python -m ml schema infer --pipeline clicks --day 2026-11-20
    python -m ml rollback --pipeline clicks --to previous --reason "clicks fell by half"
    python -m ml rollout judge --pipeline clicks
    python -m ml watch --pipeline clicks --dry-run
    python -m ml backfill plan --pipeline clicks --from 2026-11-01 --to 2026-11-20
    python -m ml backfill run --pipeline clicks --from 2026-11-01 --to 2026-11-20 --what-if other-code
    python -m ml statistics diff --pipeline clicks --from 2026-11-13 --to 2026-11-20
    python -m ml housekeeping --pipeline clicks --dry-run
    python -m ml metrics --listen 127.0.0.1:9108

A step runs what leads to it, and uses what is there already.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable

from ml import steps
from ml.commands import (
    backfill,
    housekeeping,
    metrics,
    nights,
    rollout,
    schema,
    serving,
    statistics,
    watch,
)
from ml.errors import RetrainingError, Withheld

GROUPS = (nights, schema, statistics, serving, rollout, watch, backfill, housekeeping, metrics)
STOPPED, WITHHELD = 1, 3
REFUSED = (
    "The operating system refused it, and nothing half-written counts. Mend that (room on the disk, rights, "
    "memory, network) and give the same command again: what is done stays done."
)


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
        with steps.trying(chosen.what_if, dict(chosen.settings)):
            print(command(chosen))
    except Withheld as withheld:
        print(f"not published: {withheld}", file=sys.stderr)
        return WITHHELD
    except RetrainingError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return STOPPED
    except OSError as error:
        print(f"{type(error).__name__}: {error}. {REFUSED}", file=sys.stderr)
        return STOPPED
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The commands and their arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m ml", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(what_if="", settings=[])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in GROUPS:
        group.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
