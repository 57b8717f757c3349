from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import pytest

pytest.importorskip("airflow", reason="tests of the plugins need Airflow: make install")

from airflow.models import DagRun
from airflow.models.xcom import XComModel
from retraining import failed_runs
from retraining.notifications import TELLER, TOLD, UNEXPLAINED, UNTOLD
from sqlalchemy.orm import Session

from tests.plugins.metadata import NIGHTS, Metadata

WATCH, OTHERS = "watch_clicks", "somebody_elses"
FIRST, SECOND, THIRD = "land_examples", "train_candidate", "push_model"
BEGUN = datetime(2026, 11, 2, 2, tzinfo=timezone.utc)
FIVE_MINUTES = 1 / 288  # of a day
BY_HAND = "Dag Run's state was manually set to `failed`."


class Failures(Metadata):
    """Airflow's own tables, with runs that fail when a test says so."""

    def fail(self, run: DagRun, *tasks: str, words: tuple[str, ...] = (), msg: str = "task_failure") -> None:
        """Fail a run as the scheduler does: some tasks, one a minute, the run, and then the listener.

        Args:
            run: the run.
            tasks: those that fail, in the order in which they do.
            words: those of them that leave word.
            msg: what Airflow calls it.
        """
        ended = {task: BEGUN + timedelta(minutes=number) for number, task in enumerate(tasks, 1)}
        for task in run.get_task_instances(session=self.session):
            task.state = "failed" if task.task_id in ended else "upstream_failed"
            task.start_date, task.end_date = BEGUN, ended.get(task.task_id)
        for task in words:
            self.leave_word(run, task)
        run.state, run.end_date = "failed", run.run_after + timedelta(minutes=1)
        failed_runs.on_dag_run_failed(dag_run=run, msg=msg)

    def withhold(self, run: DagRun, task: str) -> None:
        """End a run well of which a task was skipped, as the scheduler does."""
        for instance in run.get_task_instances(session=self.session):
            instance.state = "skipped" if instance.task_id == task else "success"
            instance.start_date = BEGUN
        run.state = "success"
        failed_runs.on_dag_run_success(dag_run=run, msg="success")

    def leave_word(
        self, run: DagRun, task: str, at: datetime = BEGUN + timedelta(seconds=1), key: str = TOLD
    ) -> None:
        """What a task does that says itself why it failed, or what Slack did not take."""
        of_run = {"dag_id": run.dag_id, "run_id": run.run_id, "dag_run_id": run.id}
        value = "why\nhttp://airflow/log"
        self.session.add(XComModel(key=key, task_id=task, value=value, timestamp=at, **of_run))
        self.session.flush()

    @property
    def told(self) -> list[dict[str, Any]]:
        """What people were told, in the order in which it was."""
        return [run.conf["report"] for run in self.runs(TELLER)]


@pytest.fixture
def metadata(session: Session) -> Failures:
    metadata = Failures(session)
    for dag_id in (NIGHTS, WATCH, OTHERS):
        metadata.add_dag(dag_id, FIRST, SECOND, THIRD, time_zone="America/New_York")
    metadata.add_dag(TELLER, "tell")
    return metadata


@pytest.fixture
def night(metadata: Failures) -> DagRun:
    return metadata.add_night(None)


def test_a_night_whose_task_is_killed_is_told_of(metadata: Failures, night: DagRun) -> None:
    metadata.fail(night, SECOND)

    [told] = metadata.told
    assert (
        told["summary"] == f"retrain_clicks, night of 2026-10-31: stopped at train_candidate: {UNEXPLAINED}"
    )
    assert told["url"].endswith(f"/dags/{NIGHTS}/runs/{quote(night.run_id)}/tasks/{SECOND}")
    [run] = metadata.runs(TELLER)
    assert run.state == "queued"


def test_the_first_failure_is_named(metadata: Failures, night: DagRun) -> None:
    metadata.fail(night, SECOND, FIRST)

    [told] = metadata.told
    assert "stopped at train_candidate" in told["summary"]


@pytest.mark.parametrize("word", [FIRST, SECOND])
def test_a_night_of_which_a_task_has_told_why_is_told_of_once(
    metadata: Failures, night: DagRun, word: str
) -> None:
    metadata.fail(night, FIRST, SECOND, words=(word,))

    assert metadata.told == []


def test_a_word_of_the_try_before_tells_nothing_of_this_one(metadata: Failures, night: DagRun) -> None:
    metadata.leave_word(night, FIRST, at=BEGUN - timedelta(minutes=5))

    metadata.fail(night, FIRST)
    assert len(metadata.told) == 1


def test_a_message_of_a_withheld_night_that_slack_did_not_take_is_told_once(
    metadata: Failures, night: DagRun
) -> None:
    metadata.leave_word(night, THIRD, key=UNTOLD)

    for _ in range(2):
        metadata.withhold(night, THIRD)
    assert metadata.told == [{"summary": "why", "url": "http://airflow/log"}]


def test_a_message_of_a_failed_night_that_slack_did_not_take_is_told_in_its_own_words(
    metadata: Failures, night: DagRun
) -> None:
    metadata.leave_word(night, FIRST, key=UNTOLD)

    metadata.fail(night, FIRST, SECOND)
    assert metadata.told == [{"summary": "why", "url": "http://airflow/log"}]


def test_a_night_that_was_withheld_and_told_of_needs_no_message(metadata: Failures, night: DagRun) -> None:
    metadata.leave_word(night, THIRD)

    metadata.withhold(night, THIRD)
    assert metadata.told == []


def test_the_same_failure_is_told_of_once_however_often_the_rest_is_cleared(
    metadata: Failures, night: DagRun
) -> None:
    metadata.fail(night, FIRST)
    night.state = "running"

    metadata.fail(night, FIRST)
    assert len(metadata.told) == 1


def test_what_fails_again_after_it_was_cleared_is_told_of_again(metadata: Failures, night: DagRun) -> None:
    metadata.fail(night, FIRST)
    for task in night.get_task_instances(session=metadata.session):
        task.prepare_db_for_next_try(session=metadata.session)

    metadata.fail(night, FIRST)
    assert len(metadata.told) == 2


def test_who_marks_a_run_as_failed_is_not_told_so(metadata: Failures, night: DagRun) -> None:
    metadata.fail(night, FIRST, msg=BY_HAND)

    assert metadata.told == []


def test_a_night_of_a_backfill_and_a_what_if_never_page(metadata: Failures) -> None:
    metadata.fail(metadata.add_night(metadata.add_backfill()), FIRST)
    metadata.fail(metadata.add_night(None, 1, what_if="more-epochs"), FIRST)

    assert metadata.told == []


def test_a_dag_of_somebody_else_is_left_alone(metadata: Failures) -> None:
    metadata.fail(metadata.add_night(None, dag_id=OTHERS), FIRST)

    assert metadata.told == []


def test_of_many_looks_that_fail_in_a_row_the_first_is_told(metadata: Failures) -> None:
    for number in range(3):
        metadata.fail(metadata.add_night(None, number * FIVE_MINUTES, dag_id=WATCH), FIRST)

    [told] = metadata.told
    assert told["summary"].startswith("watch_clicks, scheduled__2026-11-01T00:00:00+00:00: stopped at ")


def test_the_first_look_that_fails_after_a_pause_is_told(metadata: Failures) -> None:
    for number in (0, 21, 21 + FIVE_MINUTES):
        metadata.fail(metadata.add_night(None, number, dag_id=WATCH), FIRST)

    assert ["2026-11-01T00:00" in told["summary"] for told in metadata.told] == [True, False]


def test_a_failure_that_nobody_can_be_told_of_is_in_the_schedulers_log(session: Session) -> None:
    metadata = Failures(session)
    metadata.add_dag(NIGHTS, FIRST)

    with pytest.raises(LookupError, match=f"Airflow knows no DAG {TELLER}, so nobody is told by its run"):
        metadata.fail(metadata.add_night(None), FIRST)
