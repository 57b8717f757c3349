from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from ml import steps
from ml.__main__ import STOPPED, main
from ml.connections import KAFKA_VARIABLE, MLFLOW_VARIABLE, SERVING_VARIABLE
from ml.errors import Misconfigured, Unavailable, Withheld
from ml.steps import backfill_windows

NOWHERE = {
    KAFKA_VARIABLE: '{"config": {"bootstrap.servers": "127.0.0.1:1"}}',
    MLFLOW_VARIABLE: '{"uri": "http://127.0.0.1:1"}',
    SERVING_VARIABLE: '{"rest": "http://127.0.0.1:1", "grpc": "127.0.0.1:1", "models_dir": "x", '
    '"server_models_dir": "x", "config_file": "x"}',
}


RUN = ["backfill", "run", "--pipeline", "clicks", "--from", "2026-03-10", "--to", "2026-03-12"]
NIGHTS = [f"cli/clicks/2026-03-{day}" for day in (10, 11, 12)]
URL = "http://mlflow/runs/1"
FULL = OSError(errno.ENOSPC, "there was no room for all of the model")


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was reported to MLflow."""
    for variable, value in NOWHERE.items():
        monkeypatch.setenv(variable, value)
    reported: list[dict[str, Any]] = []

    def report(pipeline: str, backfill: dict[str, Any], *, mlflow: Any) -> dict[str, str]:
        reported.append(backfill)
        return {"url": URL, "summary": "as it is"}

    monkeypatch.setattr(steps, "report_backfill", report)
    return reported


def test_a_full_disk_keeps_no_other_night_from_being_walked_and_is_reported(
    reports: list[dict[str, Any]], nights_end: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    nights_end(Withheld("STALE"), FULL, Withheld("STALE"))

    assert main(RUN) == STOPPED

    [report] = reports
    assert report["nights"] == NIGHTS
    assert list(report["failed"]) == [NIGHTS[1]]
    said = capsys.readouterr().err
    assert (
        f"1 of 3 nights did not come to be logged:\n  {NIGHTS[1]}: OSError: [Errno 28] there was no " in said
    )
    assert "Give the same command again" in said


def test_what_was_done_before_a_setting_stopped_the_rest_is_reported(
    reports: list[dict[str, Any]],
    nights_end: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    nights_end(Withheld("STALE"), Misconfigured("no topic"))

    assert main(RUN) == STOPPED

    [report] = reports
    assert (report["nights"], report["failed"]) == (NIGHTS[:2], {NIGHTS[1]: "Misconfigured: no topic"})
    assert capsys.readouterr().err.endswith("Misconfigured: no topic\n")
    assert "stopped in night 2 of 3" in caplog.text
    assert f"the nights until then are at {URL}" in caplog.text


def test_a_report_that_fails_too_does_not_hide_what_stopped_the_nights(
    reports: list[dict[str, Any]],
    nights_end: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise Unavailable("MLflow does not answer")

    monkeypatch.setattr(steps, "report_backfill", fail)
    nights_end(Misconfigured("no topic"))

    assert main(RUN) == STOPPED

    assert capsys.readouterr().err.endswith("Misconfigured: no topic\n")
    assert "they could not be reported: Unavailable: MLflow does not answer" in caplog.text


def test_what_the_operating_system_refuses_stops_a_command_with_a_message(
    nights_end: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    nights_end(FULL)

    assert main(["run", "--pipeline", "clicks", "--day", "2026-03-10"]) == STOPPED

    said = capsys.readouterr().err
    assert said.startswith(
        "OSError: [Errno 28] there was no room for all of the model. The operating system "
    )
    assert "give the same command again: what is done stays done" in said


@pytest.mark.parametrize(
    ("pipeline", "first", "last", "words"),
    [
        ("clicks", "2026-03-03", "2026-03-01", "the first day, 2026-03-03, lies after the last, 2026-03-01"),
        ("clicks", "2026-03-03", "2999-01-01", "2999-01-01 settles at 2999-01-02 02:00 UTC, 120"),
        ("nowhere", "2026-03-01", "2026-03-01", "there is no pipeline 'nowhere'"),
    ],
)
def test_a_plan_of_no_days_says_why(
    pipeline: str,
    first: str,
    last: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for variable, value in NOWHERE.items():
        monkeypatch.setenv(variable, value)

    code = main(["backfill", "plan", "--pipeline", pipeline, "--from", first, "--to", last])

    printed = capsys.readouterr()
    assert (code, printed.out) == (1, "")
    assert printed.err.startswith("Misconfigured: ")
    assert words in printed.err


def test_a_what_if_is_not_planned_with_a_decision_about_the_landing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in NOWHERE.items():
        monkeypatch.setenv(variable, value)
    days = ["--pipeline", "clicks", "--from", "2026-03-01", "--to", "2026-03-01"]

    code = main(["backfill", "plan", *days, "--what-if", "one-epoch", "--accept-gap", "broker outage"])

    assert code == 1
    assert "the what-if one-epoch cannot decide how 2026-03-01 is landed" in capsys.readouterr().err


def test_a_word_for_a_day_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["backfill", "plan", "--pipeline", "clicks", "--from", "yesterday", "--to", "2026-03-01"])

    assert "'yesterday' is no day" in capsys.readouterr().err
    with pytest.raises(Misconfigured, match="'yesterday' is no day"):
        backfill_windows("clicks", "yesterday", "2026-03-01")
