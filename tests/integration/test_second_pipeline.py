"""A second model is a second folder: hotel searches, up to a served model, without a change of code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ml
from ml.artifact import Window
from tests.demo.produce import create_topic
from tests.demo.stack import Services
from tests.integration.searches import SearchDay
from tests.integration.walking import (
    PIPELINES,
    Night,
    World,
    ask_over_grpc,
    ask_over_rest,
    held_out,
    opened_world,
)

pytestmark = pytest.mark.integration

RECORDS = 10_000
LONG_SUNDAY = SearchDay(date(2026, 10, 25), RECORDS, seed=1)  # the clocks go back: 25 hours
MONDAY = SearchDay(date(2026, 10, 26), RECORDS, seed=2)
FIRST_VERSION, SECOND_VERSION = 20261025001, 20261026001


@pytest.fixture(scope="module")
def world(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    create_topic(services.bootstrap, "hotel.searches", partitions=2)
    for day in (LONG_SUNDAY, MONDAY):
        day.produce(services.bootstrap, "hotel.searches", partitions=2)
    with opened_world("searches", tmp_path_factory.mktemp("searches"), services, {}) as world:
        yield world


@pytest.fixture(scope="module")
def sunday(world: World) -> Night:
    return world.night(LONG_SUNDAY.day)


@pytest.fixture(scope="module")
def monday(world: World, sunday: Night) -> Night:
    return world.night(MONDAY.day)


def test_the_folder_lies_outside_of_the_code(world: World) -> None:
    assert world.pipeline.folder == PIPELINES / "searches"
    assert not world.pipeline.folder.is_relative_to(Path(ml.__file__).parent)


def test_a_night_is_the_day_in_the_pipelines_time_zone(world: World, sunday: Night) -> None:
    landed = world.store.manifest(sunday.walk.land_examples)

    assert (landed.facts["accepted"], landed.measurements["outside"]) == (RECORDS, RECORDS)
    assert landed.facts["last_event"] - landed.facts["first_event"] > 24 * 3_600_000
    assert sunday.walk.land_examples["uri"].startswith("store:searches/examples/2026-10-25-")


def test_gaps_are_landed_as_missing_and_are_no_anomaly(world: World, sunday: Night) -> None:
    [part] = world.store.open(sunday.walk.land_examples).glob("part-*.parquet")

    assert pq.read_table(part)["review_score"].null_count == pytest.approx(0.2 * RECORDS, rel=0.1)
    assert world.store.read_json(sunday.walk.validate_examples)["findings"] == []


def test_the_model_learns_most_of_what_can_be_known(world: World, sunday: Night) -> None:
    holdout = Window.parse(**world.store.read_json(sunday.walk.gather_window)["holdout"])
    reached = world.store.read_json(sunday.walk.evaluate_candidate)["overall"]["candidate"]["auc"]["value"]
    best = LONG_SUNDAY.best_auc(holdout)

    assert 0.5 + 0.75 * (best - 0.5) < reached < best + 0.02


def test_it_is_measured_by_its_own_slices(world: World, sunday: Night) -> None:
    slices = world.store.read_json(sunday.walk.evaluate_candidate)["slices"]

    assert slices.keys() == {"channel.app", "channel.web", "channel.partner", "family"}
    assert slices["family"]["rows"] == pytest.approx(0.3 * 0.3 * RECORDS, rel=0.1)


def test_it_is_served_under_its_own_label(world: World, sunday: Night) -> None:
    assert world.store.read_json(sunday.walk.decide_blessing)["verdict"] == "BOOTSTRAP"
    assert sunday.served == FIRST_VERSION

    other_label = f"{world.services.serving.rest}/v1/models/hotel_offers/labels/stable/metadata"
    assert not httpx.get(other_label, timeout=60).is_success


@pytest.mark.parametrize("ask", [ask_over_rest, ask_over_grpc])
def test_it_answers_like_the_model_offline(
    world: World, sunday: Night, ask: Callable[[World, pa.Table], Any]
) -> None:
    rows, scores = held_out(world, sunday.walk, 100)

    assert rows["review_score"].null_count > 0
    assert ask(world, rows) == pytest.approx(scores, abs=1e-5)


def test_the_next_night_is_judged_by_the_metric_of_the_pipeline(world: World, monday: Night) -> None:
    blessing = world.store.read_json(monday.walk.decide_blessing)

    assert blessing["judged_against"] == FIRST_VERSION
    assert blessing["verdict"] in ("PASS", "FAIL", "INCONCLUSIVE")
    assert "gain.log_loss" in [rule["rule"] for rule in blessing["rules"]]
    assert monday.served == (FIRST_VERSION if monday.withheld else SECOND_VERSION)


def test_the_next_day_has_not_drifted(world: World, monday: Night) -> None:
    report = world.store.read_json(monday.walk.measure_drift)

    assert {entry["feature"] for entry in report["features"]} == set(world.pipeline.drift.thresholds)
    assert report["drifted"] == report["undecided"] == []


def test_the_nights_are_in_an_experiment_of_their_own(world: World, sunday: Night, monday: Night) -> None:
    assert [run["tags"]["retraining.run_key"] for run in world.runs()] == [
        "cli/searches/2026-10-25",
        "cli/searches/2026-10-26",
    ]
