from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

pytest.importorskip("airflow", reason="tests of the plugins need Airflow: make install")

from airflow.models import DagRun
from airflow.models.backfill import Backfill
from retraining import finished_backfills
from sqlalchemy import update
from sqlalchemy.orm import Session

from tests.plugins.metadata import FIRST, NIGHTS, Metadata

REPORTS, OTHERS = "report_backfill_clicks", "somebody_elses"


class Backfills(Metadata):
    """Airflow's own tables, with nights that end when a test says so."""

    def end(self, night: DagRun, state: str = "success", logged: str | None = "success") -> None:
        """End a night as the scheduler does: the tasks, the run, and then the listeners."""
        for task in night.get_task_instances(session=self.session):
            task.state = logged
        night.state = state
        hook = {
            "success": finished_backfills.on_dag_run_success,
            "failed": finished_backfills.on_dag_run_failed,
        }
        hook[state](dag_run=night, msg="")

    @property
    def reports(self) -> list[DagRun]:
        return self.runs(REPORTS)

    @property
    def told(self) -> dict[str, Any]:
        """What the one report is about."""
        [report] = self.reports
        return dict(report.conf["backfill"])


@pytest.fixture
def metadata(session: Session) -> Backfills:
    metadata = Backfills(session)
    metadata.add_dag(NIGHTS, "log_to_mlflow")
    metadata.add_dag(OTHERS, "log_to_mlflow")
    metadata.add_dag(REPORTS, "report_backfill")
    return metadata


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_the_last_night_to_end_starts_the_report(metadata: Backfills, order: tuple[int, ...]) -> None:
    backfill = metadata.add_backfill()
    nights = [metadata.add_night(backfill, number) for number in range(3)]

    for number in order[:-1]:
        metadata.end(nights[number], "failed")
    assert metadata.reports == []

    metadata.end(nights[order[-1]])
    [report] = metadata.reports
    assert (report.run_id, report.state, report.run_type) == (f"backfill_{backfill.id}", "queued", "manual")
    assert report.conf["backfill"] == {
        "key": f"airflow/{backfill.id}",
        "what_if": "",
        "started_at": FIRST.isoformat(),
        "nights": [f"{NIGHTS}/{night.run_id}" for night in nights],
        "failed": {},
    }


def test_a_night_that_is_cleared_later_starts_no_second_report(metadata: Backfills) -> None:
    night = metadata.add_night(metadata.add_backfill())

    metadata.end(night)
    night.state = "running"
    metadata.end(night, "failed")
    assert len(metadata.reports) == 1


def test_a_night_of_a_later_backfill_is_reported_with_that_one(metadata: Backfills) -> None:
    night, later = metadata.add_night(metadata.add_backfill()), metadata.add_backfill()
    metadata.end(night)

    night.backfill_id = later.id
    metadata.end(night)
    assert [report.run_id for report in metadata.reports] == ["backfill_1", "backfill_2"]


def test_nights_that_were_cancelled_or_not_logged_are_named_with_the_reason(metadata: Backfills) -> None:
    backfill = metadata.add_backfill()
    cancelled, unlogged, last = (metadata.add_night(backfill, number) for number in range(3))
    cancelled.state = "failed"  # by an UPDATE that no listener hears of

    metadata.end(unlogged, "failed", logged="upstream_failed")
    metadata.end(last)
    assert metadata.told["failed"] == {
        f"{NIGHTS}/{cancelled.run_id}": "it was cancelled before it began",
        f"{NIGHTS}/{unlogged.run_id}": "log_to_mlflow is upstream_failed",
    }


def cancel(metadata: Backfills, backfill: Backfill, ago: timedelta = timedelta(0)) -> None:
    """Cancel it as Airflow's API does while it is paused and nothing of it runs."""
    queued = update(DagRun).where(DagRun.backfill_id == backfill.id, DagRun.state == "queued")
    metadata.session.execute(queued.values(state="failed").execution_options(synchronize_session=False))
    backfill.completed_at = datetime.now(timezone.utc) - ago
    metadata.session.flush()


@pytest.fixture
def paused(metadata: Backfills) -> Backfill:
    """A backfill of two nights: one has run to its end, the other waits."""
    backfill = metadata.add_backfill()
    ran, waits = metadata.add_night(backfill), metadata.add_night(backfill, 1)
    waits.state = "queued"
    metadata.end(ran)
    assert metadata.reports == []
    return backfill


def test_a_backfill_that_was_cancelled_while_it_was_paused_is_told_of_at_the_next_night(
    metadata: Backfills, paused: Backfill
) -> None:
    cancel(metadata, paused)
    metadata.end(metadata.add_night(None, 5))

    assert metadata.told["key"] == f"airflow/{paused.id}"
    assert list(metadata.told["failed"].values()) == ["it was cancelled before it began"]
    metadata.end(metadata.add_night(None, 6))
    assert len(metadata.reports) == 1


def test_it_is_told_of_beside_the_backfill_that_follows_it(metadata: Backfills, paused: Backfill) -> None:
    cancel(metadata, paused)
    metadata.end(metadata.add_night(metadata.add_backfill(), 5))

    assert [report.run_id for report in metadata.reports] == ["backfill_1", "backfill_2"]


def test_a_backfill_that_is_only_paused_is_not_told_of(metadata: Backfills, paused: Backfill) -> None:
    paused.is_paused = True
    metadata.end(metadata.add_night(None, 5))

    assert metadata.reports == []


def test_backfills_of_long_ago_of_others_and_without_nights_are_not_told_of(
    metadata: Backfills, paused: Backfill
) -> None:
    cancel(metadata, paused, ago=timedelta(days=8))
    cancel(metadata, metadata.add_backfill())
    others = metadata.add_backfill(OTHERS)
    metadata.add_night(others).state = "failed"
    cancel(metadata, others)
    metadata.end(metadata.add_night(None, 5))

    assert metadata.reports == []


def test_what_the_nights_tried_is_told(metadata: Backfills) -> None:
    metadata.end(metadata.add_night(metadata.add_backfill(), what_if="one-epoch"))

    assert metadata.told["what_if"] == "one-epoch"


def test_nights_that_kept_the_parameters_of_a_what_if_are_named_and_not_compared(metadata: Backfills) -> None:
    """A backfill without parameters over days of which one was a what-if: whichever ends last."""
    backfill = metadata.add_backfill()
    normal, tried = metadata.add_night(backfill), metadata.add_night(backfill, 1, what_if="one-epoch")

    metadata.end(normal)
    metadata.end(tried)
    assert metadata.told["what_if"] == ""
    [(night, reason)] = metadata.told["failed"].items()
    assert night == f"{NIGHTS}/{tried.run_id}"
    assert reason == (
        "it ran as the what-if one-epoch of a backfill before: run its day with --dag-run-conf '{}'"
    )


def test_what_belongs_to_no_backfill_of_nights_is_left_alone(metadata: Backfills) -> None:
    metadata.end(metadata.add_night(None))
    metadata.end(metadata.add_night(metadata.add_backfill(OTHERS)))

    assert metadata.reports == []


def test_a_backfill_that_cannot_be_reported_says_so_in_the_schedulers_log(metadata: Backfills) -> None:
    metadata.add_dag("retrain_views", "log_to_mlflow")
    night = metadata.add_night(metadata.add_backfill("retrain_views"))

    with pytest.raises(
        LookupError, match="no DAG report_backfill_views, so nobody is told by its run backfill_1"
    ):
        metadata.end(night)
