"""The demo: ``python -m tests.demo run | up | clean``. The Makefile calls it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
import time
from datetime import date, timedelta
from pathlib import Path

from ml.durable import write_atomically
from ml.store import Store
from tests.demo import report
from tests.demo.follow import Backfill, follow
from tests.demo.produce import create_topic, produce
from tests.demo.stack import Ports, Services, running_stack, wanted_broker
from tests.demo.story import PARTITIONS, PIPELINE, TOPIC, Night, five_nights, last_complete_days

PARTS = ("store", "airflow", "mlflow", "serving", "kafka", "logs")
MARKER = "demo.json"
NEEDED_GIB = 3


def main() -> int:
    """Run the command that was asked for."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    home = Path(os.environ.get("RETRAIN_HOME", "var"))
    commands = {"run": run, "up": up, "clean": clean}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(f"expected one of {', '.join(commands)}; found {' '.join(sys.argv[1:]) or 'nothing'}")
    try:
        return commands[sys.argv[1]](home)
    except KeyboardInterrupt:
        print("\nstopped; nothing is left running")
        return 130


def run(home: Path) -> int:
    """Five nights, from an empty state."""
    broker = wanted_broker()
    check_space(home)
    clean(home)
    started = time.monotonic()
    first = last_complete_days()
    ports = Ports.choose({})
    made = {"first": first.isoformat(), "ports": vars(ports), "broker": broker}
    write_atomically(home / MARKER, json.dumps(made).encode())
    nights = five_nights(first)
    step(f"Starting broker ({broker}), MLflow, model server (a stand-in for TF Serving) and Airflow", started)
    with running_stack(home, ports, broker) as (services, airflow):
        step(f"Producing {len(nights)} days of click logs", started)
        fill(services, nights)
        step("Five nights, run by Airflow's scheduler through `airflow backfill`", started)
        backfill = Backfill(f"retrain_{PIPELINE}", first, first + timedelta(days=4))
        backfill.create(airflow, home / "logs" / "backfill.log")
        backfill.start(airflow)
        follow(backfill, airflow, Store(home / "store"))
        step("All nights are done", started)
        return conclude(nights, services)


def conclude(nights: list[Night], services: Services) -> int:
    """Print what came of it. The exit code says whether the story held."""
    runs = report.read_runs(services.mlflow)
    wrong = report.unexpected(nights, runs)
    if not wrong:
        report.print_table(nights, runs)
        report.print_prediction(nights[-1], services)
    print(*wrong, sep="\n")
    print("The five runs side by side, when `make up` serves the pages:")
    print(f"  {report.comparison_url(services.mlflow, runs)}")
    return 1 if wrong else 0


def up(home: Path) -> int:
    """Serve the pages over the state that a demo left, until Ctrl-C."""
    if not (home / MARKER).exists():
        sys.exit(
            f"{home / MARKER} is missing, so there is no state of a demo in {home}. Run `make demo` first."
        )
    made = json.loads((home / MARKER).read_text())
    first, ports = date.fromisoformat(made["first"]), Ports.choose(made["ports"])
    with running_stack(home, ports, made.get("broker", "tansu")) as (services, airflow):
        print("Filling the broker again: it always starts empty.")
        fill(services, five_nights(first))
        runs = report.read_runs(services.mlflow)
        print(f"Airflow   {airflow.url}   user {airflow.user}, password {airflow.password}")
        print(f"MLflow    {report.run_table_url(services.mlflow, runs)}")
        print(f"          side by side: {report.comparison_url(services.mlflow, runs)}")
        print(f"Serving   {services.serving.rest}/v1/models/{PIPELINE}   (gRPC {services.serving.grpc})")
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


def fill(services: Services, nights: list[Night]) -> None:
    """Write the nights' logs into an empty topic."""
    create_topic(services.bootstrap, TOPIC, PARTITIONS)
    for night in nights:
        produce(night.day, services.bootstrap, TOPIC, PARTITIONS)


def check_space(home: Path) -> None:
    """Stop before a night fails for want of room."""
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free / 2**30
    if free < NEEDED_GIB:
        sys.exit(
            f"{home.absolute()} has {free:.1f} GiB free, expected {NEEDED_GIB}. "
            "Make room, or set RETRAIN_HOME."
        )


def step(what: str, started: float) -> None:
    """Say what begins now."""
    print(f"\n[{time.monotonic() - started:4.0f} s] {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
