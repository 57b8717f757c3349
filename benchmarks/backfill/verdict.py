"""What must be true of all days after each act, and the tables that say whether it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow.parquet as pq

from ml.artifact import Window
from ml.pipelines import load_pipeline
from tests.integration.airflow_nights import Run
from tests.integration.backfilling import NIGHTS, PIPELINE, Story, check_store, digests, wrong_moves
from tests.integration.oracle import Rules, judge, read_topic

TOPIC, EVENT = "clicks", "event_id"
MINUTE_MS = 60_000
RIGHT = "as it must be"
TYPES = {"string": str, "int": int, "float": float}
DAY = "{:10}  {:9}  {:7}  {:>5}  {:>9}  {:>9}  {:>7}  {:>7}  {:>5}  {:>7}  {}"
DAY_COLUMNS = (
    "day",
    "run",
    "state",
    "tries",
    "artifacts",
    "identical",
    "landed",
    "oracle",
    "lost",
    "doubled",
)
ACT = "{:20}  {:>6}  {:>7}  {:>10}  {:>5}  {:>7}  {:>11}  {:>5}  {:10}  {}"
ACT_COLUMNS = (
    "act",
    "nights",
    "seconds",
    "identical",
    "lost",
    "doubled",
    "MLflow runs",
    "moves",
    "watermark",
)

Digests = Mapping[str, str]
Events = Counter[Any]


@dataclass(frozen=True)
class Outcome:
    """What all days are like after an act.

    Attributes:
        act: its name.
        nights: how many it has begun.
        seconds: how long it took.
        identical: artifacts with the digest of the forward walk, of all that it has.
        lost: events that the oracle counts and that are not landed.
        doubled: events that are landed once too often.
        logged: runs in MLflow.
        moves: of the label that users ask for, since the beginning.
        watermark: of what serves.
        findings: what is not as it must be.
    """

    act: str
    nights: int
    seconds: float
    identical: str
    lost: int
    doubled: int
    logged: int
    moves: int
    watermark: str
    findings: Sequence[str]

    def __str__(self) -> str:
        """Whether all is as it must be, after how long."""
        return f"{self.seconds:.0f} s: {'; '.join(self.findings) or RIGHT}"


class Judge:
    """Compares all days with what they must come to.

    Args:
        story: of the nights.
        expected: the digests of the forward walk.
        events: of each day, as the oracle has read them from the topic.
    """

    def __init__(self, story: Story, expected: Digests, events: Mapping[str, Events]) -> None:
        self.story, self.expected, self.events = story, expected, events
        self.logged: dict[str, str] = {}

    def judge(self, act: str, due: Collection[str], started: datetime) -> Outcome:
        """Look at everything once an act is over.

        Raises:
            StoreCorrupted: if an artifact cannot be read as a step would read it.
        """
        check_store(self.story.world.store, PIPELINE)
        begun, found = self.story.begun_since(started), digests(self.story.world.store, PIPELINE)
        lost, doubled = self.compare_events()
        moves, logged = self.story.moves, self.story.logged
        findings = [
            *(f"{day}: begun without need" for day in sorted(begun - set(due))),
            *(f"{day}: not begun" for day in sorted(set(due) - begun)),
            *(f"{name} differs" for name in sorted(differing(self.expected, found))),
            *([f"{lost} events lost, {doubled} doubled"] if lost or doubled else []),
            *self.judge_logged(logged),
            *self.judge_served(moves),
        ]
        identical = f"{len(self.expected.items() & found.items())}/{len(self.expected)}"
        seconds = (datetime.now(started.tzinfo) - started).total_seconds()
        newest = moves[-1]["watermark"][:10] if moves else "-"
        counted = (len(begun), seconds, identical, lost, doubled, len(logged), len(moves), newest)
        return Outcome(act, *counted, findings=findings)

    def compare_events(self) -> tuple[int, int]:
        """How many events are lost and how many doubled, over all days."""
        lost = doubled = 0
        for day, night in self.story.by_day.items():
            landed = landed_events(night)
            lost += (self.events[day] - landed).total()
            doubled += (landed - self.events[day]).total()
        return lost, doubled

    def judge_logged(self, logged: Sequence[tuple[str, str]]) -> list[str]:
        """Each night is one run in MLflow, and the same one after every act."""
        nights = sorted(f"{NIGHTS}/{night.run_id}" for night in self.story.by_day.values())
        findings = [] if [key for key, _ in logged] == nights else ["a night has not one run in MLflow"]
        known = dict(logged)
        findings += [
            f"{key} is another run in MLflow" for key in self.logged if self.logged[key] != known.get(key)
        ]
        self.logged = known
        return findings

    def judge_served(self, moves: Sequence[Mapping[str, Any]]) -> list[str]:
        """Every move in the ledger leads to a newer watermark, and users are where the last one led."""
        findings = [f"{before['to']} → {after['to']} went back" for before, after in wrong_moves(moves)]
        if not moves or moves[-1]["to"] != self.story.serving:
            findings.append("users are answered by what the ledger does not have last")
        return findings


def differing(expected: Digests, found: Digests) -> set[str]:
    """The artifacts that only one side has, or that have another digest on the other."""
    return {name for name, _ in expected.items() ^ found.items()}


def find_events(story: Story, days: Sequence[date]) -> dict[str, Events]:
    """The events of each day, as an independent reader of the whole topic sees them."""
    records = read_topic({"bootstrap.servers": story.world.services.bootstrap}, TOPIC)
    return {str(day): judge(records, rules_of(day)).ids(EVENT) for day in days}


def rules_of(day: date) -> Rules:
    pipeline = load_pipeline(PIPELINE)
    landing, window = pipeline.landing, Window.of_day(day, pipeline.landing.time_zone)
    columns = {name: TYPES[kind] for name, kind in pipeline.read_schema().columns.items()}
    settle, slack = landing.settle_minutes * MINUTE_MS, landing.slack_minutes * MINUTE_MS
    return Rules(columns, landing.event_time, window.start_ms, window.end_ms, settle, slack)


def landed_events(night: Run) -> Events:
    parts = sorted(night.world.store.open(night.output("land_examples")).glob("part-*.parquet"))
    return Counter(
        value for part in parts for value in pq.read_table(part, columns=[EVENT])[EVENT].to_pylist()
    )


def print_days(story: Story, judge: Judge) -> None:
    """A line for each day, as the last act has left it."""
    found = digests(story.world.store, PIPELINE)
    print("\n" + DAY.format(*DAY_COLUMNS, "verdict"))
    for day, night in story.by_day.items():
        print_day(night, judge.events[day], of_day(day, judge.expected), of_day(day, found))


def of_day(day: str, artifacts: Digests) -> dict[str, str]:
    return {name: digest for name, digest in artifacts.items() if f"/{day}-" in name}


def print_day(night: Run, events: Events, expected: Digests, found: Digests) -> None:
    record, landed = night.get(), landed_events(night)
    verdict = (record["note"] or "-").removeprefix("Verdict: ").split(":")[0]
    run = (night.night, record["run_type"], record["state"], night.tasks["wait_for_settle"]["try_number"])
    artifacts = (len(found), len(expected.items() & found.items()))
    counts = (landed.total(), events.total(), (events - landed).total(), (landed - events).total())
    print(DAY.format(*run, *artifacts, *counts, verdict))


def print_acts(outcomes: Sequence[Outcome]) -> None:
    """A line for each act, and below it what was wrong."""
    print("\n" + ACT.format(*ACT_COLUMNS, "verdict"))
    for each in outcomes:
        counts = (each.identical, each.lost, each.doubled, each.logged, each.moves, each.watermark)
        verdict = "WRONG" if each.findings else RIGHT
        print(ACT.format(each.act, each.nights, f"{each.seconds:.0f}", *counts, verdict))
        for finding in each.findings:
            print(f"    {finding}")
