"""Nights of the click log, walked one after the other without Airflow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.demo.clicks import Corruption, Day
from tests.demo.produce import create_topic, produce
from tests.demo.stack import Services
from tests.integration.walking import (
    SMALL,
    Night,
    World,
    ask_over_grpc,
    ask_over_rest,
    held_out,
    opened_world,
)

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
RECORDS = 12_000
FIRST, DAMAGED, SECOND = (date(2026, 11, day) for day in (2, 3, 4))
FIRST_VERSION, SECOND_VERSION = 20261102001, 20261104001
DAYS = [
    Day(FIRST, RECORDS, seed=1),
    Day(
        DAMAGED,
        RECORDS,
        seed=2,
        corruption=Corruption(negative_quantity=0.01, missing_item=0.01, not_json=0.01, immense_price=0.001),
    ),
    Day(SECOND, RECORDS, seed=3, behaviour="reversed"),
]


@pytest.fixture(scope="module")
def world(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    create_topic(services.bootstrap, "clicks", partitions=3)
    for day in DAYS:
        produce(day, services.bootstrap, "clicks", partitions=3)
    with opened_world("clicks", tmp_path_factory.mktemp("walk"), services, SMALL) as world:
        yield world


@pytest.fixture(scope="module")
def nights(world: World) -> dict[date, Night]:
    """All nights, in order."""
    return {day.date: world.night(day.date) for day in DAYS}


@pytest.fixture
def first(nights: dict[date, Night]) -> Night:
    return nights[FIRST]


@pytest.fixture
def damaged(nights: dict[date, Night]) -> Night:
    return nights[DAMAGED]


@pytest.fixture
def second(nights: dict[date, Night]) -> Night:
    return nights[SECOND]


def left_out(world: World, night: Night) -> dict[str, str]:
    """The days that the night did not learn from, and why."""
    days = world.store.read_json(night.walk.gather_window)["days"]
    return {day["day"]: day["left_out"] for day in days if day["left_out"]}


def command_line(*arguments: object) -> subprocess.CompletedProcess[str]:
    """``python -m ml …`` as a process of its own."""
    command = [sys.executable, "-m", "ml", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_first_night_is_served(world: World, first: Night) -> None:
    blessing = world.store.read_json(first.walk.decide_blessing)

    assert blessing["verdict"] == "BOOTSTRAP"
    assert (first.withheld, first.served) == ("", FIRST_VERSION)
    assert left_out(world, first) == {"2026-11-01": "NoRecords"}


def test_a_damaged_night_stops_before_training_and_leaves_serving_alone(world: World, damaged: Night) -> None:
    anomalies = world.store.read_json(damaged.walk.made["anomalies"])

    assert {finding["feature"] for finding in anomalies["findings"]} == {"item_id", "price", "quantity"}
    assert damaged.walk.made.keys() == {"production", "examples", "statistics", "drift_report", "anomalies"}
    assert not list(world.store.root.glob(f"clicks/model/{DAMAGED}*"))
    assert damaged.withheld.startswith("not published, PAUSED: anomalies stopped the run: item_id: ")
    assert damaged.served == FIRST_VERSION


def test_what_could_not_be_read_is_kept_aside_and_counted(world: World, damaged: Night) -> None:
    facts = world.store.manifest(damaged.walk.land_examples).facts

    assert facts["rejected"].keys() == {"not JSON"}
    assert facts["accepted"] + facts["rejected"]["not JSON"] == RECORDS


def test_mlflow_says_why_a_night_was_paused(world: World, damaged: Night) -> None:
    tags = world.runs()[1]["tags"]

    assert (tags["day"], tags["verdict"]) == (DAMAGED.isoformat(), "PAUSED")
    assert "item_id" in tags["reasons"]
    assert "quantity" in tags["reasons"]
    assert "serving.version" not in tags


def test_the_next_night_is_judged_against_what_is_served_and_takes_over(
    world: World, first: Night, second: Night
) -> None:
    blessing = world.store.read_json(second.walk.decide_blessing)
    production = world.store.read_json(second.walk.resolve_production)
    gain = world.store.read_json(second.walk.evaluate_candidate)["overall"]["gain"]["auc"]

    assert (blessing["verdict"], blessing["judged_against"]) == ("PASS", FIRST_VERSION)
    assert production["model"] == first.walk.train_candidate
    assert gain["low"] > 0
    assert (second.withheld, second.served) == ("", SECOND_VERSION)


def test_a_day_that_was_rejected_is_left_out_of_the_next_nights_training(world: World, second: Night) -> None:
    assert left_out(world, second) == {DAMAGED.isoformat(): "AnomaliesFound"}


@pytest.mark.parametrize("ask", [ask_over_rest, ask_over_grpc])
def test_the_served_version_answers_like_the_judged_model(
    world: World, second: Night, ask: Callable[[World, pa.Table], Any]
) -> None:
    rows, scores = held_out(world, second.walk, 100)

    assert rows.num_rows == 100
    assert rows["age"].null_count > 0
    assert ask(world, rows) == pytest.approx(scores, abs=1e-5)


def test_walking_again_changes_nothing(world: World, nights: dict[date, Night]) -> None:
    before = world.state()

    again = {day: world.night(day) for day in nights}

    assert {day: night.walk.made for day, night in again.items()} == {
        day: night.walk.made for day, night in nights.items()
    }
    assert [night.withheld for night in again.values()] == [night.withheld for night in nights.values()]
    assert world.state() == before


def test_a_plan_finds_all_that_was_walked_and_knows_what_would_not_be_published(
    world: World, nights: dict[date, Night]
) -> None:
    before = world.state()

    done = command_line("backfill", "plan", "--pipeline", "clicks", "--from", FIRST, "--to", SECOND, "--json")

    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    made = [step for day in plan["days"] for step in day["steps"] if step["outcome"] == "new"]
    assert (made, plan["findings"]) == ([], [])
    assert {day["day"]: day["rejected"] for day in plan["days"] if day["rejected"]} == {
        DAMAGED.isoformat(): "AnomaliesFound"
    }
    assert plan["served"]["version"] == SECOND_VERSION
    assert plan["totals"]["may_publish"] == 0
    assert world.state() == before


def test_a_plan_names_the_setting_that_would_train_again(
    nights: dict[date, Night], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_TRAINING__DROPOUT", "0.3")

    days = ("--from", SECOND, "--to", SECOND)
    shown = command_line("backfill", "plan", "--pipeline", "clicks", *days, "--json")

    [day] = json.loads(shown.stdout)["days"]
    assert {step["kind"]: step["why"] for step in day["steps"] if step["cause"]} == {
        "model": "training.dropout 0.1 → 0.3"
    }
    assert day["publication"] == f"nothing: STALE, {SECOND_VERSION} has seen newer data"


def test_every_night_is_one_run_and_every_candidate_one_version(
    world: World, nights: dict[date, Night]
) -> None:
    state = world.state()

    assert [run["tags"]["day"] for run in state["runs"]] == [day.isoformat() for day in nights]
    assert len(state["registered"]) == 2
    assert state["model server"] == ((FIRST_VERSION, SECOND_VERSION), {"stable": SECOND_VERSION})


def test_the_command_line_makes_the_same_bytes_in_another_store(
    first: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path))

    done = command_line("gather_window", "--pipeline", "clicks", "--day", FIRST)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == first.walk.gather_window


def test_the_command_line_finds_a_night_done(world: World, second: Night) -> None:
    before = world.state()

    done = command_line("run", "--pipeline", "clicks", "--day", SECOND)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == second.walk.push_model
    assert world.state() == before


def test_the_command_line_says_that_a_night_was_not_published(damaged: Night) -> None:
    done = command_line("run", "--pipeline", "clicks", "--day", DAMAGED)

    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == f"not published: {damaged.withheld}"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["validate_examples", "--pipeline", "clicks", "--day", DAMAGED], 1, "AnomaliesFound: the 11,8"),
        (["land_examples", "--pipeline", "clicks", "--day", "2026-11-09"], 1, "NoRecords: The window has no"),
        (["check", "--pipeline", "nowhere"], 1, "Misconfigured: there is no pipeline 'nowhere'"),
        (["run", "--pipeline", "clicks"], 2, "the following arguments are required: --day"),
    ],
)
def test_the_command_line_stops_with_a_reason(
    damaged: Night, arguments: list[object], code: int, words: str
) -> None:
    stopped = command_line(*arguments)

    assert (stopped.returncode, stopped.stdout) == (code, "")
    assert words in stopped.stderr
    assert "Traceback" not in stopped.stderr


def in_operation(state: dict[str, Any]) -> dict[str, Any]:
    """The part of a world's state that a what-if must leave as it is."""
    store = {path: digest for path, digest in state["store"].items() if "/what_if/" not in path}
    nights = [run for run in state["runs"] if run["tags"]["retraining.kind"] == "night"]
    return {**state, "store": store, "runs": nights}


def test_a_backfill_of_what_if_touches_nothing_that_is_in_operation(world: World, first: Night) -> None:
    before = world.state()

    tried = ("--what-if", "one-epoch", "--set", "training.epochs=1")
    done = command_line("backfill", "run", "--pipeline", "clicks", "--from", FIRST, "--to", FIRST, *tried)

    assert done.returncode == 0, done.stderr
    after = world.state()
    assert in_operation(after) == before
    runs = {run["tags"]["retraining.kind"]: run for run in after["runs"]}
    assert runs["what-if"]["params"]["training.epochs"] == "1"
    assert runs["what-if"]["tags"]["digest.examples"] == first.walk.land_examples["digest"]
    assert runs["what-if"]["tags"]["digest.production"] == first.walk.resolve_production["digest"]
    assert runs["what-if"]["tags"]["mlflow.parentRunId"] == runs["backfill"]["id"]
    assert json.loads(done.stdout)["summary"].startswith("1 night: 1 changed; auc of the candidates")
    assert {path.split("/")[3] for path in after["store"].keys() - before["store"].keys()} == {
        *("statistics", "anomalies", "drift_report", "training_window", "model", "evaluation", "blessing")
    }
