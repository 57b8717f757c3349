"""Backfills as Airflow runs them, over PostgreSQL, in every order that is asked for."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from ml.store import Store
from tests.demo.afternoon import AFTERNOON, YESTERDAY, ZONE
from tests.demo.clicks import Corruption, Day
from tests.demo.follow import FINISHED
from tests.demo.postgres import INSTALL, find_programs, running_postgres
from tests.demo.stack import pipeline_settings
from tests.integration.airflow_nights import RECORDS, SMALL, running_world
from tests.integration.backfilling import (
    NIGHTS,
    REPORTS,
    Story,
    check_store,
    digests,
    settings,
    walk_forward,
    wrong_moves,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.proof,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(find_programs() is None, reason=INSTALL),
]

LAST = YESTERDAY
DAMAGED, NORMAL = LAST - timedelta(days=2), LAST - timedelta(days=1)
DAYS = [
    Day(DAMAGED, RECORDS, seed=1, corruption=Corruption(negative_quantity=0.01), time_zone=ZONE),
    Day(NORMAL, RECORDS, seed=2, time_zone=ZONE),
    Day(LAST, RECORDS, seed=3, time_zone=ZONE),
]
# Every day is in the training window of the next: what runs at once wants the same days.
CHOSEN = {**SMALL, **AFTERNOON, **pipeline_settings("tansu"), "RETRAIN_TRAINING__WINDOW_DAYS": "2"}
PARALLEL = ("--max-active-runs", "4")
AGAIN = ("--reprocess-behavior", "completed")
JUDGED_ANEW = ("--dag-run-conf", json.dumps({"refresh_production": "other days serve by now"}))


def state_of_the_world(story: Story) -> dict[str, Any]:
    """All that no repetition may change."""
    return {
        "outputs": {day: run.outputs for day, run in story.by_day.items()},
        "MLflow runs": story.logged,
        "tries in MLflow": story.logged_tries,
        "registered versions": story.world.registered_versions("clicks"),
        "served": story.serving,
    }


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("backfills")
    with (
        running_postgres(home / "logs") as postgres,
        running_world(home, DAYS, {**CHOSEN, **postgres.airflow_settings}) as world,
    ):
        yield Story(world, home / "logs")


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


@dataclass(frozen=True)
class Repetition:
    """All days once more.

    Attributes:
        cleared: the day whose night was cleared meanwhile.
        before: how often each day had been begun before.
    """

    cleared: str
    before: dict[str, int]


@pytest.fixture(scope="module")
def repeated(story: Story, repaired: int) -> Repetition:
    """All days once more, forward and at once; when one is over, somebody clears any of them."""
    before = story.tries
    story.create(DAMAGED, LAST, *PARALLEL, *AGAIN)
    story.wait_until(lambda: set(story.states.values()) & set(FINISHED), "done with one night")
    cleared = random.choice(sorted(story.states))  # noqa: S311 - it decides an order
    story.clear(cleared)
    story.wait(reports=3)
    return Repetition(cleared, before)


@pytest.fixture(scope="module")
def cancelled(story: Story, repeated: Repetition) -> int:
    """All days judged anew, from the last one back, and a person who stops that during the first night."""
    one = ("--max-active-runs", "1", "--run-backwards")
    backfill = story.create(DAMAGED, LAST, *one, *AGAIN, *JUDGED_ANEW)
    story.wait_until(lambda: story.states[str(LAST)] == "running", "running")
    story.cancel(backfill)
    story.wait(reports=4)
    return backfill


@pytest.fixture(scope="module")
def left_queued(story: Story, cancelled: int) -> str:
    """The state of a cancelled night that was cleared when another DAG's run, begun later, is over."""
    night = story.clear(str(NORMAL))
    story.world.trigger("backfill_clicks", first=str(DAMAGED), last=str(LAST)).wait()
    state = str(night.get()["state"])
    story.mark_as_failed(str(NORMAL))
    return state


@pytest.fixture(scope="module")
def finished(story: Story, left_queued: str) -> dict[str, int]:
    """What was cancelled by another backfill; how often each day had been begun before it."""
    before = story.tries
    story.create(DAMAGED, LAST, *PARALLEL, "--reprocess-behavior", "failed")
    story.wait(reports=5)
    return before


def test_a_backfill_and_a_scheduled_night_share_the_days(story: Story, filled: dict[str, Any]) -> None:
    told = [story.by_day[str(day)].get() for day in (DAMAGED, NORMAL, LAST)]

    assert [run["run_type"] for run in told] == ["backfill", "backfill", "scheduled"]
    assert [run["state"] for run in told] == ["failed", "success", "success"]


def test_days_in_any_order_come_to_the_artifacts_of_a_forward_walk(
    story: Story, filled: dict[str, Any], expected: dict[str, str]
) -> None:
    assert sum(name.startswith("model/") for name in expected) == 2
    assert digests(story.world.store, "clicks") == expected


def test_of_two_nights_at_once_one_is_served_and_the_other_says_why_it_is_not(
    story: Story, filled: dict[str, Any]
) -> None:
    """Both were judged against no version; whichever pushes first is served."""
    withheld = [day for day in (NORMAL, LAST) if "pushed_model" not in str(filled["outputs"][str(day)])]

    assert len(withheld) == 1
    assert "was judged against no version, but now" in story.by_day[str(*withheld)].log_text("push_model")


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
    assert story.tries == {str(DAMAGED): 2, str(NORMAL): 1, str(LAST): 1}
    assert state_of_the_world(story) == filled
    assert digests(story.world.store, "clicks") == expected


def test_without_reprocessing_no_night_is_touched(story: Story, repaired: int) -> None:
    before = story.tries

    story.create(DAMAGED, LAST, *PARALLEL, "--reprocess-behavior", "none")
    assert story.tries == before
    assert set(story.states.values()) <= set(FINISHED)


def test_all_days_again_come_to_the_same_also_if_one_is_cleared_meanwhile(
    story: Story, filled: dict[str, Any], repeated: Repetition, expected: dict[str, str]
) -> None:
    begun = {day: story.tries[day] - count for day, count in repeated.before.items()}

    assert begun == {str(day.date): 1 for day in DAYS} | {repeated.cleared: 2}
    assert list(story.states.values()) == ["failed", "success", "success"]
    assert state_of_the_world(story) == filled
    assert digests(story.world.store, "clicks") == expected
    assert "3 nights: 3 same" in story.reports[-1].output("report_backfill")["summary"]


def test_the_earlier_tries_of_a_night_can_be_read_in_airflow(story: Story, repeated: Repetition) -> None:
    night, attempts = story.by_day[repeated.cleared], range(1, story.tries[repeated.cleared] + 1)
    told = night.get("/taskInstances/land_examples/tries")["task_instances"]

    assert {each["try_number"] for each in told} == set(attempts)
    assert all(night.log("land_examples", attempt) for attempt in attempts)


def test_a_cancelled_backfill_is_told_of_with_what_it_did_not_come_to(story: Story, cancelled: int) -> None:
    report = story.reports[-1]
    told = report.get()["conf"]["backfill"]

    assert report.run_id == f"backfill_{cancelled}"
    assert len(told["nights"]) == len(DAYS)
    assert told["failed"] == dict.fromkeys(told["nights"][:2], "it was cancelled before it began")
    assert "2 missing" in report.output("report_backfill")["summary"]


def test_what_was_done_before_a_backfill_was_cancelled_stays_and_is_whole(
    story: Story, filled: dict[str, Any], cancelled: int, expected: dict[str, str]
) -> None:
    tried = {day: len(tries) for day, tries in story.logged_tries.items()}

    assert list(story.states.values()) == ["failed", "failed", "success"]
    assert tried == {str(DAMAGED): 1, str(NORMAL): 1, str(LAST): 2}
    assert story.logged == filled["MLflow runs"]
    assert digests(story.world.store, "clicks") == expected
    check_store(story.world.store, "clicks")


def test_a_cancelled_night_that_is_cleared_stays_queued_until_it_is_marked_as_failed(
    story: Story, left_queued: str
) -> None:
    assert left_queued == "queued"


def test_another_backfill_finishes_what_was_cancelled(
    story: Story, finished: dict[str, int], expected: dict[str, str]
) -> None:
    begun = {day: story.tries[day] - count for day, count in finished.items()}

    assert begun == {str(DAMAGED): 1, str(NORMAL): 1, str(LAST): 0}
    assert list(story.states.values()) == ["failed", "success", "success"]
    assert digests(story.world.store, "clicks") == expected
    check_store(story.world.store, "clicks")


def test_every_night_that_was_judged_anew_is_one_run_in_mlflow_with_its_first_try_beside_it(
    story: Story, filled: dict[str, Any], finished: dict[str, int]
) -> None:
    tries = story.logged_tries

    assert story.logged == filled["MLflow runs"]
    assert {day: [each["try"] for each in known] for day, known in tries.items()} == {
        str(day.date): [1, 2] for day in DAYS
    }
    assert {day: known[:1] for day, known in tries.items()} == filled["tries in MLflow"]


def test_the_served_watermark_never_went_back(story: Story, finished: dict[str, int]) -> None:
    moves = story.moves

    assert moves
    assert wrong_moves(moves) == []
    assert story.serving == moves[-1]["to"]
