from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

pytest.importorskip("airflow", reason="tests of the plugins need Airflow: make install")

from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput
from retraining import approval
from retraining.approval import AskOperator

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
    monkeypatch.setattr(approval, "tell", lambda message: said.append({"told": message}))
    monkeypatch.setattr(AskOperator, "generate_link_to_ui_from_context", lambda *_, **__: "http://here")
    return said


def ask(**question: str) -> AskOperator:
    return AskOperator(
        task_id="ask", question={**QUESTION, **question}, verdicts=["PROMOTE"], response_hours=12
    )


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
        ask().execute({"task_instance": Instance(), "params": {}})

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


@pytest.mark.parametrize(
    ("question", "params"),
    [({"decision": "HOLD"}, {}), ({}, {"what_if": "more-epochs"})],
    ids=["another decision", "a what-if"],
)
def test_nobody_is_asked_about_anything_else(asked, question, params) -> None:
    ask(**question).execute({"task_instance": Instance(), "params": params})

    assert asked == []


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
