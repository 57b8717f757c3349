"""A whole night on one large day: wall time, rate and peak memory of each step in a process of its own.

    python -m benchmarks.night [--records 1000000]

The limit that the table compares with is 3 GiB a process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from tests.demo.clicks import Day
from tests.demo.produce import create_topic, produce
from tests.demo.stack import running_services
from tests.demo.story import PARTITIONS, PIPELINE, TOPIC

LIMIT_MIB = 3 * 1024
DAY = date(2026, 3, 10)
STEPS = {
    "resolve_production": "production",
    "land_examples": "examples",
    "compute_statistics": "statistics",
    "validate_examples": "anomalies",
    "measure_drift": "drift_report",
    "gather_window": "training_window",
    "train_candidate": "model",
    "evaluate_candidate": "evaluation",
    "decide_blessing": "blessing",
    "push_model": "pushed_model",
}
SETTINGS = {
    "RETRAIN_CLICKS__LANDING__SEEK": "scan",
    "RETRAIN_CLICKS__TRAINING__WINDOW_DAYS": "1",
    "RETRAIN_CLICKS__TRAINING__EPOCHS": "1",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000)
    records = parser.parse_args().records
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        with running_services(home) as services:
            create_topic(services.bootstrap, TOPIC, PARTITIONS)
            produce(Day(DAY, records, seed=1), services.bootstrap, TOPIC, PARTITIONS)
            environment = {
                **os.environ,
                **SETTINGS,
                **services.command_line_connections(),
                "RETRAIN_HOME": directory,
            }
            print(f"{records:,} records a day, {os.cpu_count()} cores\n")
            print(
                f"{'step':20} {'wall s':>8} {'work s':>8} {'records/s':>10} {'peak MiB':>9} {'of limit':>9}"
            )
            for step, kind in STEPS.items():
                print(row(step, home / "store" / PIPELINE / kind, records, environment), flush=True)


def row(step: str, folder: Path, records: int, environment: dict[str, str]) -> str:
    """Run one step; what leads to it is there already."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "ml", step, "--pipeline", PIPELINE, "--day", DAY.isoformat()]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - started
    if answer.returncode:
        sys.exit(f"{step} failed:\n{answer.stderr}")
    measured = measurements(folder)
    peak = max(value for name, value in measured.items() if name.endswith("peak_mib"))
    seconds = measured["seconds"]
    rate = f"{records / seconds:,.0f}" if seconds > 0.1 else "-"
    return f"{step:20} {wall:8.1f} {seconds:8.1f} {rate:>10} {peak:9,.0f} {peak / LIMIT_MIB:9.2f}"


def measurements(folder: Path) -> dict[str, Any]:
    """What the step has measured of itself."""
    [manifest] = folder.glob("*/manifest.json")
    return dict(json.loads(manifest.read_text())["measurements"])


if __name__ == "__main__":
    main()
