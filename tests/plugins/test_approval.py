from __future__ import annotations

import logging
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow", reason="tests of the plugins need Airflow: make install")

from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput
from retraining import notifications
from retraining.approval import AskOperator

from ml import errors

QUESTION = {
    "decision": "PROMOTE",
    "subject": "Let version 2 of clicks answer all users?",
    "body": "| track | …",
    "otherwise": "it stays on trial",
}
NOW = datetime(2026, 3, 10, 9, tzinfo=timezone.utc)


class Instance:
    """The little of a running task instance that the operator uses."""

    id = "an id"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Airflow was told to ask, and what people were told of it."""
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **detail: said.append(detail))
    monkeypatch.setattr(notifications, "tell", lambda message: said.append({"told": message}))
    monkeypatch.setattr(AskOperator, "generate_link_to_ui_from_context", lambda *_, **__: "http://here")
    return said


def ask(**question: str) -> AskOperator:
    return AskOperator(
        task_id="ask", question={**QUESTION, **question}, verdicts=["PROMOTE"], response_hours=12
    )


def running(run_type: str = "scheduled", **params: str) -> Any:
    """The context of a run of this type."""
    return {"task_instance": Instance(), "params": params, "dag_run": SimpleNamespace(run_type=run_type)}


def answered(option: str, name: str | None = "ann") -> dict[str, Any]:
    person = {"id": "7", "name": name} if name else None
    return {
        "chosen_options": [option],
        "params_input": {},
        "responded_at": NOW,
        "responded_by_user": person,
    }


def test_a_person_is_asked_with_the_evidence_and_told_where(asked: list[dict[str, Any]]) -> None:
    with pytest.raises(TaskAwaitingInput) as waiting:
        ask().execute(running())

    told, detail = asked
    assert told["told"] == (
        "Let version 2 of clicks answer all users? Without an answer in 12 hours: no.\nhttp://here"
    )
    assert (detail["subject"], detail["body"], detail["defaults"]) == (
        QUESTION["subject"],
        QUESTION["body"],
        ["Reject"],
    )
    assert waiting.value.timeout.total_seconds() == 12 * 3600


def test_a_person_is_asked_also_where_slack_takes_no_message(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(message: str) -> None:
        raise errors.Unavailable("Slack did not take the message.")

    monkeypatch.setattr(notifications, "tell", refuse)

    with pytest.raises(TaskAwaitingInput):
        ask().execute(running())
    [detail] = asked
    assert detail["subject"] == QUESTION["subject"]
    logged = capsys.readouterr().out
    assert "not take the message. The question waits under Required Actions, and nobody was told" in logged


@pytest.mark.parametrize(
    ("question", "params"),
    [({"decision": "HOLD"}, {}), ({}, {"what_if": "more-epochs"})],
    ids=["another decision", "a what-if"],
)
def test_nobody_is_asked_about_anything_else(asked, question, params) -> None:
    answer = ask(**question).execute(running(**params))

    assert asked == []
    assert answer == {"needless": f"{question.get('decision', 'PROMOTE')} needs nobody's approval"}


def test_a_night_of_a_backfill_asks_in_airflow_and_sends_no_message(
    asked: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with pytest.raises(TaskAwaitingInput):
        ask().execute(running("backfill"))

    [detail] = asked
    assert detail["subject"] == QUESTION["subject"]
    assert "no.\nhttp://here (not sent: it belongs to a backfill" in caplog.text


def test_nobody_is_asked_what_no_approval_could_help(asked: list[dict[str, Any]]) -> None:
    context = running()
    with pytest.raises(AirflowSkipException, match="STALE"):
        ask(futile="not published, STALE: older than what serves").execute(context)

    assert asked == []
    assert context["withheld"] == "not published, STALE: older than what serves"


def test_who_has_approved_it_is_handed_on() -> None:
    approved = ask().execute_complete({}, answered("Approve"))

    assert approved == {"by": "ann", "at": "2026-03-10T09:00:00+00:00"}


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (answered("Reject"), "rejected by ann: it stays on trial"),
        (answered("Reject", None), "no answer in 12 hours: it stays on trial"),
        (answered("Approve", None), "no answer in 12 hours"),
    ],
    ids=["no", "silence", "silence cannot say yes"],
)
def test_a_no_and_silence_skip_what_follows_and_say_what_then(event: dict[str, Any], said: str) -> None:
    context: dict[str, Any] = {}

    with pytest.raises(AirflowSkipException, match=said):
        ask().execute_complete(context, event)

    assert said in context["withheld"]
