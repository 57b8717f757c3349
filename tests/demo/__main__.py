"""The demo: ``python -m tests.demo run | up | clean``. The Makefile calls it."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import time
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

from tests.demo import nights
from tests.demo.canary import scenario as canary
from tests.demo.setup import MARKER, Say, Setup
from tests.demo.stack import Ports, wanted_broker
from tests.demo.story import last_settled_days

PARTS = ("store", "airflow", "mlflow", "serving", "kafka", "tracks", "users", "logs")
NEEDED_GIB = 3


class Scenario(Protocol):
    """A story that can be run, and whose pages can be looked at afterwards."""

    DAYS: int

    def check(self) -> None:
        """Stop if something is missing that it needs."""

    def run(self, setup: Setup, say: Say) -> int:
        """Tell it from an empty state. The exit code says whether it came out."""

    def serving_pages(self, setup: Setup) -> AbstractContextManager[None]:
        """Serve its pages while a block runs."""


SCENARIOS: dict[str, Scenario] = {"nights": nights, "canary": canary}


def main() -> int:
    """Run the command that was asked for."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    home = Path(os.environ.get("RETRAIN_HOME", "var")).absolute()
    commands = {"run": run, "up": up, "clean": clean}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(f"expected one of {', '.join(commands)}; found {' '.join(sys.argv[1:]) or 'nothing'}")
    try:
        return commands[sys.argv[1]](home)
    except KeyboardInterrupt:
        print("\nstopped; nothing is left running")
        return 130


def run(home: Path) -> int:
    """The scenario that was asked for, from an empty state."""
    name, broker = wanted_scenario(), wanted_broker()
    scenario = SCENARIOS[name]
    scenario.check()
    check_space(home)
    clean(home)
    first = last_settled_days(scenario.DAYS, datetime.now(timezone.utc))
    setup = Setup(home, name, first, Ports.choose({}), broker)
    setup.write()
    started = time.monotonic()
    return scenario.run(
        setup, lambda what: print(f"\n[{time.monotonic() - started:4.0f} s] {what}", flush=True)
    )


def up(home: Path) -> int:
    """Serve the pages over the state that a demo left, until Ctrl-C."""
    setup = Setup.read(home)
    scenario = SCENARIOS[setup.scenario]
    scenario.check()
    with scenario.serving_pages(setup):
        print("Ctrl-C ends them all.", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0


def clean(home: Path) -> int:
    """Forget what a demo left, and nothing else."""
    if (home / MARKER).exists():
        print(f"Forgetting the last demo in {home}")
        for part in PARTS:
            shutil.rmtree(home / part, ignore_errors=True)
        (home / MARKER).unlink()
    return 0


def wanted_scenario() -> str:
    """The scenario that the variable ``SCENARIO`` asks for, by default the five nights.

    Raises:
        SystemExit: if there is no such scenario.
    """
    wanted = os.environ.get("SCENARIO") or "nights"
    if wanted not in SCENARIOS:
        sys.exit(f"SCENARIO is {wanted!r}; expected one of {', '.join(SCENARIOS)}.")
    return wanted


def check_space(home: Path) -> None:
    """Stop before a night fails for want of room."""
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free / 2**30
    if free < NEEDED_GIB:
        sys.exit(
            f"{home.absolute()} has {free:.1f} GiB free, expected {NEEDED_GIB}. "
            "Make room, or set RETRAIN_HOME."
        )


if __name__ == "__main__":
    sys.exit(main())
