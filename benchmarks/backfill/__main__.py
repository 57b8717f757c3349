"""Three weeks run again in every way there is, against a walk from day to day and an independent oracle.

    python -m benchmarks.backfill [--days 21] [--parallel 4] [--clears 5] [--broker kafka]

Apache Kafka holds the days, and Airflow runs them over PostgreSQL. First they are filled in a random order.
Then failed, deleted and all days are run again, forward and backward, while nights are cleared, scheduled
nights arrive, and a training and the scheduler are killed (`benchmarks.backfill.acts`). After each of these
acts all days are compared (`benchmarks.backfill.verdict`). Ends with 1 if ever an artifact differs, an event
is lost or doubled, a day has not one run in MLflow, or what is served went back.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import get_args

from benchmarks.backfill.acts import ACTS, Stage
from benchmarks.backfill.verdict import Judge, find_events, print_acts, print_days
from ml.store import Store
from tests.demo.afternoon import AFTERNOON, YESTERDAY, ZONE
from tests.demo.clicks import Corruption, Day
from tests.demo.postgres import running_postgres
from tests.demo.stack import BrokerName, pipeline_settings
from tests.integration.airflow_nights import SMALL, running_world
from tests.integration.backfilling import PIPELINE, Story, digests, settings, walk_forward

DAMAGE = Corruption(negative_quantity=0.01, not_json=0.01)
DAMAGED_EVERY = 7
LIMIT_SECONDS = 4 * 3600

# After half a minute without a sign of life a scheduler and its tasks are dead. Airflow's own limit is five.
SOON_MISSED = {
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
}


def main() -> None:
    asked = read_arguments()
    chosen = {**SMALL, **AFTERNOON, **pipeline_settings(asked.broker), "RETRAIN_TRAINING__WINDOW_DAYS": "2"}
    days = days_of(asked)
    with told("all with its servers"), tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        with running_stage(home, asked, days, chosen) as stage:
            forward = home / "forward"
            with settings(forward, stage.story.world.services, chosen):
                with told(f"walk forward over {asked.days} days, without Airflow"):
                    walk_forward(PIPELINE, stage.days)
                expected = digests(Store(forward / "store"), PIPELINE)
                judge = Judge(stage.story, expected, find_events(stage.story, stage.days))
                sys.exit(play(stage, judge))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, default=21)
    parser.add_argument("--parallel", type=int, default=4, help="nights at a time")
    parser.add_argument("--clears", type=int, default=5, help="nights cleared while all days run")
    parser.add_argument("--records", type=int, default=8_000, help="a day")
    parser.add_argument("--broker", choices=get_args(BrokerName), default="kafka")
    parser.add_argument("--seed", type=int, default=20261121)
    return parser.parse_args()


def days_of(asked: argparse.Namespace) -> list[Day]:
    """The days that end with yesterday; one in seven is damaged and comes to no model."""
    dates = [YESTERDAY - timedelta(days=back) for back in range(asked.days - 1, -1, -1)]
    days = [Day(each, asked.records, seed, time_zone=ZONE) for seed, each in enumerate(dates, start=1)]
    return [replace(day, corruption=DAMAGE) if day.seed % DAMAGED_EVERY == 4 else day for day in days]


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say how long something took."""
    started = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - started:.0f} s on {os.cpu_count()} cores", flush=True)


@contextmanager
def running_stage(
    home: Path, asked: argparse.Namespace, days: Sequence[Day], chosen: dict[str, str]
) -> Iterator[Stage]:
    """Run all servers while the block runs."""
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres(home / "logs"))
        airflow = {**chosen, **SOON_MISSED, **postgres.airflow_settings}
        world = stack.enter_context(running_world(home, days, airflow, broker=asked.broker))
        dates: list[date] = [day.date for day in days]
        chance = random.Random(asked.seed)  # noqa: S311 - it decides what happens to which day
        story = Story(world, home / "logs", LIMIT_SECONDS)
        yield Stage(story, postgres, dates, asked.parallel, asked.clears, chance)


def play(stage: Stage, judge: Judge) -> int:
    """Perform all acts and judge the days after each; 1 if anything was ever wrong."""
    outcomes = []
    for number, act in enumerate(ACTS, 1):
        print(f"act {number} of {len(ACTS)}: {act.name}", flush=True)
        started = datetime.now(timezone.utc)
        outcomes.append(judge.judge(act.name, act.perform(stage), started))
        print(f"  {outcomes[-1]}", flush=True)
    print_days(stage.story, judge)
    print_acts(outcomes)
    print(f"\nserved, in this order: {[move['to'] for move in stage.story.moves]}")
    print(f"told of the first act, once: {stage.story.reports[0].output('report_backfill')['summary']}")
    return int(any(outcome.findings for outcome in outcomes))


if __name__ == "__main__":
    main()
