from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

pytest.importorskip("airflow", reason="tests of the plugins need Airflow: make install")

from airflow.cli.cli_parser import get_parser
from retraining.planning import PlanOperator, backfill_command

from ml import steps

PARAMS = {
    "reprocess_behavior": "completed",
    "max_active_runs": 2,
    "run_backwards": False,
    "what_if": "",
    "what_if_settings": {},
}
TRY = {"what_if": "more-epochs", "what_if_settings": {"training.epochs": 4}}


def plan(*starts: str) -> dict[str, Any]:
    days = [{"window": {"start": start, "end": ""}} for start in starts]
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


def test_the_plan_is_returned_with_the_command_that_starts_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    days = plan("2026-11-01T00:00:00+00:00")
    monkeypatch.setattr(steps, "plan_backfill", lambda **_: days)
    monkeypatch.setattr(steps, "render_plan", lambda shown: shown["summary"])
    operator = PlanOperator(task_id="plan", step="plan_backfill", arguments={})

    returned = operator.execute({"ti": None, "params": PARAMS})  # type: ignore[typeddict-item]

    assert returned == {**days, "command": backfill_command(days, PARAMS)}
    [shown] = [message for message in caplog.messages if message.startswith("To start it")]
    _, *lines = shown.splitlines()
    assert shlex.split(" ".join(line.removesuffix("\\") for line in lines)) == shlex.split(
        returned["command"]
    )
