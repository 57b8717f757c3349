"""The pieces of the canary's scenario that need no servers, and the alert that reaches Slack."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from tests.demo.__main__ import wanted_scenario
from tests.demo.alertmanager import running_alertmanager
from tests.demo.canary import scenario
from tests.demo.canary.outcome import (
    ALERT,
    expected_moves,
    find_wrong,
    judge_story,
    missing_messages,
    wrong_answers,
    wrong_moves,
)
from tests.demo.canary.story import three_nights, version_of
from tests.demo.canary.timeline import MEASURES, Moment, describe, print_timeline
from tests.demo.canary.traffic import Answered, count_answers, questions_of
from tests.demo.clicks import Day
from tests.demo.model_server.faults import Faults
from tests.demo.model_server.flags import parse_flags
from tests.demo.model_server.status import StatusError
from tests.demo.ports import free_port
from tests.demo.prometheus import INSTALL, is_monitoring_installed, running_prometheus
from tests.demo.setup import Setup
from tests.demo.slack import Message, Slack, running_slack
from tests.demo.stack import Ports

FIRST = datetime(2026, 11, 2).date()
NIGHTS = three_nights(FIRST)
ADVICE = (
    "Each night's note says what the gate said or which step stopped, python -m ml ledger which canary was "
    "withdrawn and why; no run at all, look at Airflow. The model that serves grows old."
)
ONE, TWO, THREE = map(version_of, NIGHTS)


GOOD_ANSWERS = (("a", "stable", "ok", 200), ("b", "canary", "failed", 200))


def line(action: str, label: str, version: int, event: str = "moved") -> dict[str, Any]:
    return {
        "event": event,
        "action": action,
        "label": label,
        "to": version,
        "verdict": "PASS",
        "reason": "why",
    }


def answers_to(tmp_path: Path, *rows: tuple[str, str, str, int]) -> dict[str, Answered]:
    """What is counted of (trace, track, outcome, status) of some requests."""
    log, answers = tmp_path / "access.log", tmp_path / "answers.jsonl"
    logged = [{"trace": trace, "track": track, "outcome": outcome} for trace, track, outcome, _ in rows]
    heard = [{"trace": trace, "status": status, "due": 1.0, "answered": 1.5} for trace, *_, status in rows]
    log.write_text("".join(f"{json.dumps(each)}\n" for each in logged))
    answers.write_text("".join(f"{json.dumps(each)}\n" for each in heard))
    return count_answers(answers, log)


def test_a_fault_strikes_the_version_that_it_belongs_to_and_no_other():
    faults = Faults(error_ratio=1.0, version=TWO)

    faults.strike(ONE)
    with pytest.raises(StatusError) as failed:
        faults.strike(TWO)

    assert failed.value.code is grpc.StatusCode.UNAVAILABLE


def test_the_flags_name_the_version_of_a_fault():
    flags = parse_flags(["--model_base_path=models", "--inject_error_ratio=0.5", f"--inject_version={TWO}"])

    assert (flags.inject_version, flags.inject_error_ratio) == (TWO, 0.5)


def test_a_users_answer_and_its_track_are_joined_by_trace_and_a_failure_behind_it_is_no_error(tmp_path):
    answered = answers_to(
        tmp_path,
        ("a", "stable", "ok", 200),
        ("b", "canary", "failed", 200),
        ("c", "canary", "ok", 200),
        ("d", "stable", "failed", 503),
    )

    assert (answered["canary"].requests, answered["canary"].failed_behind, answered["canary"].errors) == (
        2,
        1,
        0,
    )
    assert (answered["stable"].requests, answered["stable"].errors) == (2, 1)
    assert answered["canary"].milliseconds(0.99) == pytest.approx(500)


def test_an_error_that_stables_users_saw_is_told(tmp_path):
    assert wrong_answers(answers_to(tmp_path, *GOOD_ANSWERS)) == []
    assert wrong_answers(answers_to(tmp_path, *GOOD_ANSWERS, ("c", "stable", "failed", 503))) == [
        "users of stable: expected no error, found 1 in 2 requests, most often 503"
    ]


def test_a_request_that_the_router_has_not_logged_is_told(tmp_path):
    answers = {"trace": "lost", "status": 0, "due": 1.0, "answered": 2.0}
    (tmp_path / "answers.jsonl").write_text(f"{json.dumps(answers)}\n")
    (tmp_path / "access.log").touch()

    wrong = wrong_answers(count_answers(tmp_path / "answers.jsonl", tmp_path / "access.log"))

    assert wrong[0].startswith("users of unknown: expected no error, found 1 in 1 requests, most often 0")


def test_a_canary_that_failed_nobody_did_not_tell_the_story(tmp_path):
    answered = answers_to(tmp_path, ("a", "stable", "ok", 200), ("b", "canary", "ok", 200))

    assert wrong_answers(answered) == [
        "the canary: expected failures that stable had to answer for, found none"
    ]


def test_the_ledger_tells_the_story_or_what_it_tells_is_said():
    lines = [line(*move) for move in expected_moves(NIGHTS)]

    assert wrong_moves([*lines, line("promote", "stable", THREE, "moving")], NIGHTS) == []
    [sentence] = wrong_moves(lines[:-1], NIGHTS)
    assert f"('promote', 'stable', {THREE})" in sentence.partition("found")[0]


def test_a_message_that_did_not_come_is_told():
    slack = Slack("nowhere")
    slack.tell(f"canary {TWO} of clicks is withdrawn: it fails")
    slack.tell("FIRING CanaryFails")

    assert missing_messages(slack, NIGHTS) == [
        f"Slack: expected a message with '{THREE} of clicks is served to all users', found none"
    ]


def told_of_all() -> Slack:
    slack = Slack("nowhere")
    for text in (f"canary {TWO} of clicks is withdrawn", f"{THREE} of clicks is served to all users", ALERT):
        slack.tell(text)
    return slack


def test_the_demo_succeeds_if_the_story_came_out(tmp_path, capsys):
    lines = [line(*move) for move in expected_moves(NIGHTS)]

    assert judge_story(find_wrong(lines, answers_to(tmp_path, *GOOD_ANSWERS), told_of_all(), NIGHTS)) == 0
    assert "All of it came out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "move"),
    [
        (2, ("promote", "stable", TWO)),  # the bad version goes to all users
        (2, ("push", "canary", THREE)),  # it is held, and the next night's takes its place
        (4, ("withdraw", "canary", THREE)),  # the healthy one is taken back
        (1, ("push", "stable", TWO)),  # nobody tries it first
    ],
)
def test_the_demo_fails_if_a_version_ends_where_it_should_not(tmp_path, capsys, number, move):
    lines = [line(*each) for each in expected_moves(NIGHTS)]
    lines[number] = line(*move)

    assert judge_story(find_wrong(lines, answers_to(tmp_path, *GOOD_ANSWERS), told_of_all(), NIGHTS)) == 1
    assert f"found [{('push', 'stable', ONE)}" in capsys.readouterr().out


def test_the_demo_fails_if_a_user_saw_an_error_or_nobody_was_told(tmp_path, capsys):
    lines = [line(*each) for each in expected_moves(NIGHTS)]
    answered = answers_to(tmp_path, *GOOD_ANSWERS, ("c", "stable", "failed", 503))

    assert judge_story(find_wrong(lines, answered, Slack("nowhere"), NIGHTS)) == 1
    said = capsys.readouterr().out
    assert "users of stable: expected no error, found 1" in said
    assert said.count("Slack: expected a message with") == 3


def test_users_ask_with_every_feature_and_as_themselves():
    features = {"user_id", "device", "price"}

    questions = questions_of(Day(FIRST, 3000, seed=1), features)

    assert len({question["user"] for question in questions}) > 100
    assert all(set(question["body"]["instances"][0]) == features for question in questions)


def test_a_value_that_nobody_measured_is_left_empty(capsys):
    share = next(measure for measure in MEASURES if measure.name == "canary's share")

    print_timeline([Moment(0.0, move=describe(line("push", "canary", TWO))), Moment(15.0, ("", "10%"))])

    printed = capsys.readouterr().out
    assert (share.write(None), share.write(float("nan")), share.write(0.1)) == ("", "", "10%")
    assert f"00:00:00  > push {TWO} (canary, PASS): why" in printed
    assert "00:00:15" in printed


def test_a_scenario_that_there_is_not_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("SCENARIO", "canery")

    with pytest.raises(SystemExit, match="SCENARIO is 'canery'; expected one of nights, canary"):
        wanted_scenario()


def test_what_is_missing_is_said_with_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(SystemExit) as refused:
        scenario.check()

    for package in ("nginx", "libnginx-mod-http-js", "mtail", "prometheus", "prometheus-alertmanager"):
        assert f" {package}" in str(refused.value)


def test_what_a_demo_began_with_is_read_again_for_its_pages(tmp_path):
    setup = Setup(tmp_path, "canary", FIRST, Ports(airflow=free_port(), mlflow=free_port()), "tansu")

    setup.write()

    assert Setup.read(tmp_path) == setup


@pytest.mark.integration
@pytest.mark.skipif(not is_monitoring_installed(), reason=INSTALL)
def test_an_alert_of_the_rules_reaches_slack_with_what_to_do(tmp_path):
    registry, port = CollectorRegistry(), free_port()
    for name in ("retraining_blocked_nights", "retraining_blocked_nights_limit"):
        Gauge(name, "nights", ["pipeline"], registry=registry).labels(pipeline="clicks").set(3)
    server, thread = start_http_server(port, "127.0.0.1", registry)
    try:
        with (
            running_slack() as slack,
            running_alertmanager(tmp_path / "alertmanager", slack.address) as alertmanager,
            running_prometheus(
                tmp_path / "prometheus", {"retraining": f"127.0.0.1:{port}", "alertmanager": alertmanager}
            ),
        ):
            told = slack.await_message("PipelineBlocked", seconds=120)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

    assert isinstance(told, Message)
    assert told.text.splitlines() == [
        "FIRING PipelineBlocked",
        "for 3 nights in a row clicks has brought all users no version that stayed",
        f"{ADVICE} (docs/operations.md#pipelineblocked)",
    ]
    assert told.at <= datetime.now(timezone.utc)
