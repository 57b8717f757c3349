"""Backfills as Airflow runs them, over PostgreSQL, in every order that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ml.store import Store
from tests.demo.clicks import Corruption, Day
from tests.demo.follow import FINISHED
from tests.demo.postgres import INSTALL, find_programs, running_postgres
from tests.demo.stack import pipeline_settings
from tests.integration.airflow_nights import RECORDS, SMALL, running_world
from tests.integration.backfilling import (
    NIGHTS,
    REPORTS,
    ServedVersions,
    Story,
    digests,
    settings,
    walk_forward,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.proof,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(find_programs() is None, reason=INSTALL),
]

LAST = datetime.now(timezone.utc).date() - timedelta(days=1)
DAMAGED, NORMAL = LAST - timedelta(days=2), LAST - timedelta(days=1)
DAYS = [
    Day(DAMAGED, RECORDS, seed=1, corruption=Corruption(negative_quantity=0.01)),
    Day(NORMAL, RECORDS, seed=2),
    Day(LAST, RECORDS, seed=3),
]
# Every day is in the training window of the next: what runs at once wants the same days.
CHOSEN = {**SMALL, **pipeline_settings("tansu"), "RETRAIN_TRAINING__WINDOW_DAYS": "2"}
PARALLEL = ("--max-active-runs", "4")


def state_of_the_world(story: Story) -> dict[str, Any]:
    """All that no repetition may change."""
    return {
        "outputs": {day: run.outputs for day, run in story.by_day.items()},
        "MLflow runs": story.logged,
        "registered versions": story.world.registered_versions("clicks"),
        "served": story.served.seen[-1:],
    }


def tries(story: Story) -> dict[str, int]:
    """How often each day was begun."""
    return {day: run.tasks["wait_for_settle"]["try_number"] for day, run in story.by_day.items()}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("backfills")
    with (
        running_postgres(home / "logs") as postgres,
        running_world(home, DAYS, {**CHOSEN, **postgres.airflow_settings}) as world,
    ):
        yield Story(world, home / "logs", ServedVersions(world.services, "clicks"))


@pytest.fixture(scope="module")
def expected(story: Story, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests that a walk from day to day comes to, in a store of its own."""
    home = tmp_path_factory.mktemp("forward")
    with settings(home, story.world.services, CHOSEN):
        walk_forward("clicks", [day.date for day in DAYS])
    return digests(Store(home / "store"), "clicks")


@pytest.fixture(scope="module")
def filled(story: Story, expected: dict[str, str]) -> dict[str, Any]:
    """Two days backwards and at once, while the scheduled night of the third arrives."""
    story.world.airflow.wait_for_dag(REPORTS)
    story.create(DAMAGED, NORMAL, *PARALLEL, "--run-backwards")
    story.world.unpause(NIGHTS)
    story.wait_until(lambda: len(story.states) == 3, "aware of the scheduled night")
    story.wait(reports=1)
    return state_of_the_world(story)


@pytest.fixture(scope="module")
def repaired(story: Story, filled: dict[str, Any]) -> int:
    """What did not succeed once more."""
    backfill = story.create(DAMAGED, LAST, *PARALLEL, "--reprocess-behavior", "failed")
    story.wait(reports=2)
    return backfill


def test_a_backfill_and_a_scheduled_night_share_the_days(story: Story, filled: dict[str, Any]) -> None:
    told = [story.by_day[str(day)].get() for day in (DAMAGED, NORMAL, LAST)]

    assert [run["run_type"] for run in told] == ["backfill", "backfill", "scheduled"]
    assert [run["state"] for run in told] == ["failed", "success", "success"]


def test_days_in_any_order_come_to_the_artifacts_of_a_forward_walk(
    story: Story, filled: dict[str, Any], expected: dict[str, str]
) -> None:
    assert sum(name.startswith("model/") for name in expected) == 2
    assert digests(story.world.store, "clicks") == expected


def test_every_day_has_one_run_in_mlflow(story: Story, filled: dict[str, Any]) -> None:
    assert [key for key, _ in story.logged] == sorted(f"{NIGHTS}/{run.run_id}" for run in story.nights)


def test_a_backfill_is_told_of_once_and_its_nights_are_silent(story: Story, filled: dict[str, Any]) -> None:
    [report] = story.reports
    damaged, normal = story.by_day[str(DAMAGED)], story.by_day[str(NORMAL)]
    told = report.get()["conf"]["backfill"]

    assert (told["key"], told["what_if"], told["failed"]) == ("airflow/1", "", {})
    assert told["nights"] == [f"{NIGHTS}/{night.run_id}" for night in (damaged, normal)]
    assert report.states == {"report_backfill": "success", "tell": "success"}
    assert report.output("report_backfill")["summary"] in report.log_text("tell")
    assert "it belongs to a backfill" in damaged.log_text("validate_examples")


def test_what_failed_is_made_good_and_nothing_else_has_changed(
    story: Story, filled: dict[str, Any], repaired: int, expected: dict[str, str]
) -> None:
    assert list(story.states.values()) == ["failed", "success", "success"]
    assert tries(story) == {str(DAMAGED): 2, str(NORMAL): 1, str(LAST): 1}
    assert state_of_the_world(story) == filled
    assert digests(story.world.store, "clicks") == expected


def test_the_served_watermark_never_went_back(story: Story, repaired: int) -> None:
    assert story.served.seen
    assert story.served.seen == sorted(story.served.seen)


def test_without_reprocessing_no_night_is_touched(story: Story, repaired: int) -> None:
    before = tries(story)

    story.create(DAMAGED, LAST, *PARALLEL, "--reprocess-behavior", "none")
    assert tries(story) == before
    assert set(story.states.values()) <= set(FINISHED)
