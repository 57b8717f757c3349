from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

pytest.importorskip("airflow", reason="tests of the plugins need Airflow: make install")

from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred
from retraining.sensors import SettleSensor

from ml.errors import Misconfigured

NOW = datetime.now(timezone.utc)


@pytest.fixture
def sensor() -> SettleSensor:
    with DAG("retrain_clicks", schedule=None):
        return SettleSensor(task_id="wait_for_settle", minutes=120)


def night(end: datetime) -> Any:
    return {"run_id": "scheduled__1", "data_interval_end": end}


def test_a_night_waits_until_its_day_has_settled(sensor: SettleSensor) -> None:
    end = NOW - timedelta(minutes=60)

    with pytest.raises(TaskDeferred) as waiting:
        sensor.execute(night(end))

    assert waiting.value.trigger.moment == end + timedelta(minutes=120)


def test_a_backfills_night_waits_for_nothing(sensor: SettleSensor) -> None:
    assert sensor.execute(night(NOW - timedelta(days=1)))


def test_a_run_of_no_day_is_refused_at_once_with_what_to_do(sensor: SettleSensor) -> None:
    with pytest.raises(Misconfigured, match="the run manual__1 is of no day") as told:
        sensor.execute({"run_id": "manual__1"})  # type: ignore[typeddict-item]

    assert "airflow backfill create --dag-id retrain_clicks --from-date D" in str(told.value)
    assert "--dag-run-conf '{}'" in str(told.value)
