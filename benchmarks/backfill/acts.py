"""What is done to the nights, one act after the other. When an act ends, all nights are over."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

from tests.demo.follow import FINISHED
from tests.demo.postgres import Postgres
from tests.integration.airflow_nights import Run, processes_of
from tests.integration.backfilling import NIGHTS, REPORTS, Story

FEW = 3


@dataclass
class Stage:
    """Where the acts happen.

    Attributes:
        story: of the nights.
        postgres: Airflow's database.
        days: all of them; the last one is the scheduler's to bring.
        parallel: nights at a time.
        clears: nights that are cleared while all days run.
        chance: decides what happens to which day.
    """

    story: Story
    postgres: Postgres
    days: Sequence[date]
    parallel: int
    clears: int
    chance: random.Random

    def backfill(self, days: Sequence[date], behavior: str, *options: str) -> int:
        """Create a backfill from the first of these days to the last; its id."""
        chosen = ("--max-active-runs", str(self.parallel), "--reprocess-behavior", behavior, *options)
        return self.story.create(days[0], days[-1], *chosen)

    def choose(self, days: Iterable[str], count: int = FEW) -> list[str]:
        """Some of these days."""
        known = sorted(days)
        return sorted(self.chance.sample(known, min(count, len(known))))

    def clear_one(self) -> str:
        """Clear one of the nights that are over; its day."""
        [day] = self.choose(days_in(self, *FINISHED), 1)
        self.story.clear(day)
        return day

    def finish(self) -> None:
        """Wait until all nights are over, and each backfill is reported."""
        self.story.wait(reports=self.story.created)


@dataclass(frozen=True)
class Act:
    """Something that happens to the nights.

    Attributes:
        name: as the table shows it.
        perform: does it, and returns the days that it must have begun.
    """

    name: str
    perform: Callable[[Stage], set[str]]


def fill(stage: Stage) -> set[str]:
    """All days but the last in a random order; the last as the scheduler brings it. A task is killed."""
    stage.story.world.airflow.wait_for_dag(REPORTS)
    shuffle(stage, stage.backfill(stage.days[:-1], "none"))
    stage.story.world.unpause(NIGHTS)
    kill_training(stage)
    clear_now_and_then(stage)
    stage.finish()
    return set(map(str, stage.days))


def make_good(stage: Stage, *options: str) -> set[str]:
    """What failed by itself, and what somebody has marked as failed; one more night is cleared."""
    marked = stage.choose(days_in(stage, "success"))
    for day in marked:
        stage.story.mark_as_failed(day)
    failed = days_in(stage, "failed")
    say(f"marked as failed: {' '.join(marked)}; failed in all: {len(failed)}")
    stage.backfill(stage.days, "failed", *options)
    cleared = stage.clear_one()
    say(f"cleared {cleared}")
    stage.finish()
    return failed | {cleared}


def bring_back(stage: Stage, *options: str) -> set[str]:
    """Some nights whose runs somebody has deleted in Airflow; a day that has a run is left alone."""
    deleted = stage.choose(map(str, stage.days[:-1]))
    for day in deleted:
        stage.story.delete(day)
    say(f"deleted {' '.join(deleted)}")
    stage.backfill(stage.days, "none", *options)
    stage.finish()
    return set(deleted)


def repeat(stage: Stage, *options: str) -> set[str]:
    """All days once more; the scheduler is killed, and the last night arrives by its schedule in between."""
    story, last = stage.story, str(stage.days[-1])
    story.delete(last)
    stage.backfill(stage.days[:-1], "completed", *options)
    story.wait_until(lambda: "running" in story.states.values(), "running the first of the nights")
    story.world.read_again(NIGHTS)
    story.wait_until(lambda: last in story.states, f"aware of the scheduled night of {last}")
    kill_scheduler(stage)
    clear_now_and_then(stage)
    stage.finish()
    return set(map(str, stage.days))


def judge_anew(stage: Stage) -> set[str]:
    """All days once more, each judged against what serves by now; one is cleared when hardly done."""
    stage.backfill(stage.days, "completed", "--dag-run-conf", json.dumps({"refresh_production": "exhibit"}))
    story = stage.story
    story.wait_until(lambda: "running" in story.states.values(), "running the first of the nights")
    story.wait_until(lambda: days_in(stage, *FINISHED), "done with one of the nights")
    say(f"cleared {stage.clear_one()}")
    stage.finish()
    return set(map(str, stage.days))


def shuffle(stage: Stage, backfill: int) -> None:
    """Give the queued nights another order: Airflow itself knows forwards and backwards only."""
    with stage.postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, sort_ordinal FROM backfill_dag_run WHERE backfill_id = %s ORDER BY id", [backfill]
        )
        rows = cursor.fetchall()
        ordinals = stage.chance.sample([ordinal for _, ordinal in rows], len(rows))
        say(f"order of the days: {' '.join(map(str, ordinals))}")
        for (row, _), ordinal in zip(rows, ordinals, strict=True):
            cursor.execute("UPDATE backfill_dag_run SET sort_ordinal = %s WHERE id = %s", [ordinal, row])
    connection.close()


def clear_now_and_then(stage: Stage) -> None:
    """Clear a night that is over, as often as asked, spread over the time that all of them take."""
    over: set[str] = set()
    for number in range(1, stage.clears + 1):
        share = number / (stage.clears + 1)
        stage.story.wait_until(
            partial(is_time, stage, over, share), f"through with {share:.0%} of the nights"
        )
        say(f"{len(over)} nights were over; cleared {stage.clear_one()}")


def is_time(stage: Stage, over: set[str], share: float) -> bool:
    """Whether this share of the nights has been over at least once, and one of them is now."""
    finished = days_in(stage, *FINISHED)
    over |= finished
    return bool(finished) and len(over) >= share * len(stage.days)


def kill_training(stage: Stage) -> None:
    """SIGKILL for the processes of a task that trains."""
    found: list[tuple[Run, list[int]]] = []
    stage.story.wait_until(lambda: found.extend(trainings(stage)) or found, "training")
    run, processes = found[0]
    for process in processes:
        os.kill(process, signal.SIGKILL)
    say(f"killed the training of {run.night}, {len(processes)} processes")


def trainings(stage: Stage) -> Iterable[tuple[Run, list[int]]]:
    """The nights that train now, with the processes of that task."""
    for night in stage.story.running("train_candidate"):
        processes = list(processes_of(night.tasks["train_candidate"]["id"]))
        if processes:
            yield night, processes


def kill_scheduler(stage: Stage) -> None:
    """SIGKILL for the scheduler and all tasks that it runs, and another scheduler."""
    running = days_in(stage, "running")
    scheduler = stage.story.world.airflow.scheduler
    scheduler.kill()
    scheduler.start()
    say(f"killed the scheduler while it ran {' '.join(sorted(running))}, and started another")


def days_in(stage: Stage, *states: str) -> set[str]:
    """The days whose nights are in one of these states."""
    return {day for day, state in stage.story.states.items() if state in states}


def say(what: str) -> None:
    print(f"  {what}", flush=True)


BACKWARD = "--run-backwards"
ACTS = (
    Act("none, random order", fill),
    Act("failed, forward", make_good),
    Act("none, backward", lambda stage: bring_back(stage, BACKWARD)),
    Act("completed, backward", lambda stage: repeat(stage, BACKWARD)),
    Act("failed, backward", lambda stage: make_good(stage, BACKWARD)),
    Act("none, forward", bring_back),
    Act("completed, anew", judge_anew),
)
