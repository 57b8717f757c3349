from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

pytest.importorskip("airflow", reason="tests of the plugins need Airflow: make install")

from airflow.cli.cli_parser import get_parser
from airflow.models import DagRun
from airflow.models.backfill import ReprocessBehavior, _get_dag_run_no_create_reason
from airflow.utils.state import DagRunState
from retraining.planning import (
    REPROCESS_BEHAVIORS,
    PlanOperator,
    backfill_command,
    name_days_left_alone,
    name_order,
)

from ml import steps

PARAMS = {
    "reprocess_behavior": "completed",
    "max_active_runs": 2,
    "run_backwards": False,
    "what_if": "",
    "what_if_settings": {},
    "accept_gap": "",
    "refresh_landing": "",
    "refresh_production": "",
}
TRY = {"what_if": "more-epochs", "what_if_settings": {"training.epochs": 4}}


def plan(*starts: str) -> dict[str, Any]:
    days = [{"day": start[:10], "window": {"start": start, "end": ""}} for start in starts]
    return {"pipeline": "clicks", "days": days, "summary": "nothing to do"}


def parsed(command: str) -> Any:
    """The command as Airflow's own parser reads it."""
    program, *words = shlex.split(command)
    assert program == "airflow"
    return get_parser().parse_args(words)


def test_airflow_understands_the_command() -> None:
    days = plan("2026-11-01T23:00:00+00:00", "2026-11-02T23:00:00+00:00", "2026-11-03T23:00:00+00:00")

    read = parsed(backfill_command(days, {**PARAMS, "run_backwards": True, **TRY}))

    assert read.dag_id == "retrain_clicks"
    assert (read.from_date.isoformat(), read.to_date.isoformat()) == (
        "2026-11-01T23:00:00+00:00",
        "2026-11-03T23:00:00+00:00",
    )
    assert (read.reprocess_behavior, read.max_active_runs, read.run_backwards) == ("completed", 2, True)
    assert json.loads(read.dag_run_conf) == TRY


def test_a_plain_backfill_takes_the_parameters_of_an_earlier_what_if_away() -> None:
    read = parsed(backfill_command(plan("2026-11-01T00:00:00+00:00"), PARAMS))

    assert (read.dag_run_conf, read.run_backwards) == ("{}", False)


def test_the_command_carries_the_reasons_that_were_planned_with() -> None:
    reasons = {"accept_gap": "retention was two days", "refresh_production": "rolled back"}

    read = parsed(backfill_command(plan("2026-11-01T00:00:00+00:00"), {**PARAMS, **reasons}))

    assert json.loads(read.dag_run_conf) == reasons


@pytest.mark.parametrize("reason", ["accept_gap", "refresh_landing"])
def test_days_that_are_decided_about_run_in_their_order_whatever_was_asked(reason: str) -> None:
    asked = {**PARAMS, "max_active_runs": 4, "run_backwards": True, reason: "retention was two days"}
    days = plan("2026-11-01T00:00:00+00:00", "2026-11-02T00:00:00+00:00")

    read = parsed(backfill_command(days, asked))

    assert (read.max_active_runs, read.run_backwards) == (1, False)
    assert "oldest first and one at a time" in name_order(days, asked)["summary"]


def test_other_days_run_as_was_asked() -> None:
    asked = {**PARAMS, "refresh_production": "rolled back"}
    days = plan("2026-11-01T00:00:00+00:00", "2026-11-02T00:00:00+00:00")

    assert name_order(days, asked) == days


class Runs:
    """What Airflow answers a task about the runs of a DAG: the state of each by day."""

    def __init__(self, states: Mapping[str, DagRunState] | None = None) -> None:
        self._states = states or {}

    def get_dr_count(self, dag_id: str, logical_dates: list[datetime], states: list[str] | None) -> int:
        assert dag_id == "retrain_clicks"
        found = [self._states.get(moment.date().isoformat()) for moment in logical_dates]
        return sum(state is not None and (states is None or state in states) for state in found)


@pytest.mark.parametrize("behavior", REPROCESS_BEHAVIORS)
@pytest.mark.parametrize("state", list(DagRunState))
def test_a_day_is_left_alone_as_airflow_itself_decides(behavior: str, state: DagRunState) -> None:
    """Of two days the first has a run, in that state."""
    runs = Runs({"2026-11-01": state})
    context: Any = {"ti": runs, "params": {**PARAMS, "reprocess_behavior": behavior}}
    reason = _get_dag_run_no_create_reason(DagRun(state=state), ReprocessBehavior(behavior))

    said = name_days_left_alone(plan("2026-11-01T00:00:00+00:00", "2026-11-02T00:00:00+00:00"), context)

    assert said["left_alone"] == (["2026-11-01"] if reason else [])
    assert (
        f"with --reprocess-behavior {behavior} Airflow leaves 1 of them alone" in said["summary"]
    ) == bool(reason)


def test_the_plan_is_returned_with_the_command_that_starts_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    days = plan("2026-11-01T00:00:00+00:00")
    monkeypatch.setattr(steps, "plan_backfill", lambda **_: days)
    monkeypatch.setattr(steps, "render_plan", lambda shown: shown["summary"])
    operator = PlanOperator(task_id="plan", step="plan_backfill", arguments={})

    returned = operator.execute({"ti": Runs(), "params": PARAMS})  # type: ignore[typeddict-item]

    assert returned == {**days, "left_alone": [], "command": backfill_command(days, PARAMS)}
    [shown] = [message for message in caplog.messages if message.startswith("To start it")]
    _, *lines = shown.splitlines()
    assert shlex.split(" ".join(line.removesuffix("\\") for line in lines)) == shlex.split(
        returned["command"]
    )
