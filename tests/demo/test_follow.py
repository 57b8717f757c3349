from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest

from tests.demo.follow import LOCKED, Backfill, DatabaseLocked
from tests.demo.process import ManagedProcess

BACKFILL = Backfill("retrain_clicks", date(2026, 11, 2), date(2026, 11, 4))


@dataclass
class Refusing:
    """An Airflow whose command says something and fails, so many times, before it does what it is asked."""

    says: str
    refusals: int
    asked: int = 0

    def wait_for_dag(self, dag_id: str) -> None:
        assert dag_id == BACKFILL.dag_id

    def command(self, *_: str, log: Path) -> ManagedProcess:
        self.asked += 1
        fails = self.asked <= self.refusals
        code = f"print({self.says!r}); raise SystemExit(1)" if fails else ""
        return ManagedProcess("airflow backfill", [sys.executable, "-c", code], log)


def create(airflow: Refusing, tmp_path: Path) -> None:
    BACKFILL.create(cast(Any, airflow), tmp_path / "backfill.log")


def test_a_backfill_that_met_another_writer_is_asked_for_again(tmp_path: Path):
    airflow = Refusing(f"(sqlite3.OperationalError) {LOCKED}", refusals=1)

    create(airflow, tmp_path)

    assert airflow.asked == 2


def test_what_stays_locked_is_given_up(tmp_path: Path):
    airflow = Refusing(LOCKED, refusals=100)

    with pytest.raises(DatabaseLocked, match=LOCKED):
        create(airflow, tmp_path)
    assert airflow.asked == 5


def test_any_other_refusal_is_said_at_once(tmp_path: Path):
    airflow = Refusing("Could not find dag retrain_clicks", refusals=100)

    with pytest.raises(RuntimeError, match="was refused:\nCould not find dag"):
        create(airflow, tmp_path)
    assert airflow.asked == 1
