"""A backfill of three weeks in a random order, against a walk from day to day and an independent oracle.

    python -m benchmarks.backfill [--days 21] [--order random] [--parallel 4] [--clears 5] [--broker kafka]

Apache Kafka holds the days; Airflow runs them over PostgreSQL; the last one is a scheduled night that arrives
in between, and now and then a night that is over is cleared as a person does it in the UI. Ends with 1 if an
artifact differs, an event is lost or doubled, a day has not one run in MLflow, or what is served went back.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq

from ml.artifact import Window
from ml.pipelines import load_pipeline
from ml.store import Store
from tests.demo.clicks import Corruption, Day
from tests.demo.follow import FINISHED
from tests.demo.postgres import Postgres, running_postgres
from tests.demo.stack import BrokerName, pipeline_settings
from tests.integration.airflow_nights import SMALL, Run, running_world
from tests.integration.backfilling import (
    NIGHTS,
    REPORTS,
    ServedVersions,
    Story,
    digests,
    settings,
    walk_forward,
)
from tests.integration.oracle import Record, Rules, judge, read_topic

PIPELINE, TOPIC, EVENT = "clicks", "clicks", "event_id"
DAMAGE = Corruption(negative_quantity=0.01, not_json=0.01)
DAMAGED_EVERY = 7
MINUTE_MS = 60_000
LIMIT_SECONDS = 4 * 3600
TYPES = {"string": str, "int": int, "float": float}
HEADER = "{:10}  {:9}  {:7}  {:>5}  {:>9}  {:>9}  {:>7}  {:>7}  {:>5}  {:>7}  {}"
COLUMNS = ("day", "run", "state", "tries", "artifacts", "identical", "landed", "oracle", "lost", "doubled")


def main() -> None:
    asked = read_arguments()
    chosen = {**SMALL, **pipeline_settings(asked.broker), "RETRAIN_TRAINING__WINDOW_DAYS": "2"}
    days = days_of(asked)
    with (
        tempfile.TemporaryDirectory() as directory,
        told("all with its servers"),
    ):
        home = Path(directory)
        with (
            running_postgres(home / "logs") as postgres,
            running_world(home, days, {**chosen, **postgres.airflow_settings}, broker=asked.broker) as world,
        ):
            story = Story(world, home / "logs", ServedVersions(world.services, PIPELINE), LIMIT_SECONDS)
            with settings(home / "forward", world.services, chosen):
                with told(f"walk forward over {asked.days} days, without Airflow"):
                    walk_forward(PIPELINE, [day.date for day in days])
                with told(f"backfill: {asked.order} order, {asked.parallel} at a time"):
                    run_backfill(story, postgres, asked, days)
                sys.exit(report(story, Store(home / "forward" / "store"), [day.date for day in days]))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, default=21)
    parser.add_argument("--order", choices=("random", "forward", "backward"), default="random")
    parser.add_argument("--parallel", type=int, default=4, help="nights at a time")
    parser.add_argument("--clears", type=int, default=5, help="nights that are cleared in between")
    parser.add_argument("--records", type=int, default=8_000, help="a day")
    parser.add_argument("--broker", choices=get_args(BrokerName), default="kafka")
    parser.add_argument("--seed", type=int, default=20261121)
    return parser.parse_args()


def days_of(asked: argparse.Namespace) -> list[Day]:
    """The days that end with yesterday; one in seven is damaged and comes to no model."""
    last = datetime.now(timezone.utc).date() - timedelta(days=1)
    dates = [last - timedelta(days=back) for back in range(asked.days - 1, -1, -1)]
    return [
        Day(each, asked.records, seed, corruption=DAMAGE if seed % DAMAGED_EVERY == 4 else Corruption())
        for seed, each in enumerate(dates, start=1)
    ]


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say how long something took."""
    started = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - started:.0f} s on {os.cpu_count()} cores", flush=True)


def run_backfill(story: Story, postgres: Postgres, asked: argparse.Namespace, days: Sequence[Day]) -> None:
    """All days but the last through ``airflow backfill``, and the last one as the scheduler brings it."""
    story.world.airflow.wait_for_dag(REPORTS)
    options = ["--max-active-runs", str(asked.parallel)]
    options += ["--run-backwards"] if asked.order == "backward" else []
    backfill = story.create(days[0].date, days[-2].date, *options)
    chance = random.Random(asked.seed)  # noqa: S311 - it decides an order
    if asked.order == "random":
        shuffle(postgres, backfill, chance)
    story.world.unpause(NIGHTS)
    clear_now_and_then(story, asked.clears, chance)
    story.wait(reports=1)


def clear_now_and_then(story: Story, clears: int, chance: random.Random) -> None:
    """Clear a night that is over, as often as asked, spread over the time that all of them take."""
    over: set[str] = set()
    for number in range(1, clears + 1):
        share = number / (clears + 1)
        story.wait_until(partial(is_time, story, over, share), f"through with {share:.0%} of the nights")
        day = chance.choice(sorted(day for day, state in story.states.items() if state in FINISHED))
        print(f"  {len(over)} nights were over; cleared {day}", flush=True)
        story.clear(day)


def shuffle(postgres: Postgres, backfill: int, chance: random.Random) -> None:
    """Give the queued nights another order: Airflow itself knows forwards and backwards only."""
    with postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, sort_ordinal FROM backfill_dag_run WHERE backfill_id = %s ORDER BY id", [backfill]
        )
        rows = cursor.fetchall()
        ordinals = chance.sample([ordinal for _, ordinal in rows], len(rows))
        print(f"  order of the days: {' '.join(map(str, ordinals))}")
        for (row, _), ordinal in zip(rows, ordinals, strict=True):
            cursor.execute("UPDATE backfill_dag_run SET sort_ordinal = %s WHERE id = %s", [ordinal, row])
    connection.close()


def is_time(story: Story, over: set[str], share: float) -> bool:
    """Whether this share of the nights has been over at least once, and one of them is now."""
    states = story.states
    finished = {day for day, state in states.items() if state in FINISHED}
    over |= finished
    return bool(finished) and len(over) >= share * len(states)


@dataclass(frozen=True)
class Outcome:
    """What is wrong with a day: artifacts that differ, events lost, events doubled."""

    different: int
    lost: int
    doubled: int


def report(story: Story, forward: Store, days: Sequence[date]) -> int:
    """Print a line for each day and what holds for all of them; 1 if anything is not as it must be."""
    records = read_topic({"bootstrap.servers": story.world.services.bootstrap}, TOPIC)
    expected, found = digests(forward, PIPELINE), digests(story.world.store, PIPELINE)
    print("\n" + HEADER.format(*COLUMNS, "verdict"))
    nights = story.by_day
    outcomes = [compare(nights[str(day)], story.world.store, records, (expected, found)) for day in days]
    wrong = sum(each.different + each.lost + each.doubled for each in outcomes)
    keys = [key for key, _ in story.logged]
    one_each = keys == sorted(f"{NIGHTS}/{night.run_id}" for night in nights.values())
    ascending = story.served.seen == sorted(story.served.seen) and bool(story.served.seen)
    identical = len(expected.items() & found.items())
    print(f"\nidentical artifacts: {identical} of {len(expected)}, {len(found)} made")
    print(f"runs in MLflow: {len(keys)} for {len(days)} days, {'one each' if one_each else 'NOT one each'}")
    print(f"served, in this order: {story.served.seen}, {'never back' if ascending else 'WENT BACK'}")
    print(f"told, once: {story.reports[0].output('report_backfill')['summary']}")
    return int(bool(wrong) or expected != found or not one_each or not ascending)


def compare(
    night: Run, store: Store, records: Sequence[Record], stores: tuple[dict[str, str], dict[str, str]]
) -> Outcome:
    """Compare one day with the forward walk and with the oracle, and print it."""
    day, record = night.night, night.get()
    expected, found = ({name: each for name, each in part.items() if f"/{day}-" in name} for part in stores)
    identical = len(expected.items() & found.items())
    landed = landed_events(night, store)
    events = oracle_events(date.fromisoformat(day), records)
    outcome = Outcome(
        different=len(expected.keys() | found.keys()) - identical,
        lost=(events - landed).total(),
        doubled=(landed - events).total(),
    )
    verdict = (record["note"] or "-").removeprefix("Verdict: ").split(":")[0]
    tries = night.tasks["wait_for_settle"]["try_number"]
    shown = (len(found), identical, landed.total(), events.total(), outcome.lost, outcome.doubled)
    print(HEADER.format(day, record["run_type"], record["state"], tries, *shown, verdict))
    return outcome


def landed_events(night: Run, store: Store) -> Counter[Any]:
    parts = sorted(store.open(night.output("land_examples")).glob("part-*.parquet"))
    return Counter(
        value for part in parts for value in pq.read_table(part, columns=[EVENT])[EVENT].to_pylist()
    )


def oracle_events(day: date, records: Sequence[Record]) -> Counter[Any]:
    pipeline = load_pipeline(PIPELINE)
    landing, window = pipeline.landing, Window.of_day(day, pipeline.landing.time_zone)
    columns = {name: TYPES[kind] for name, kind in pipeline.read_schema().columns.items()}
    settle, slack = landing.settle_minutes * MINUTE_MS, landing.slack_minutes * MINUTE_MS
    rules = Rules(columns, landing.event_time, window.start_ms, window.end_ms, settle, slack)
    return judge(records, rules).ids(EVENT)


if __name__ == "__main__":
    main()
