"""What a real Alertmanager tells Slack with the product's configuration, and what it keeps to itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.demo.alertmanager import running_alertmanager
from tests.demo.prometheus import INSTALL, is_monitoring_installed
from tests.demo.slack import Slack, running_slack
from tests.integration.serving_client import eventually

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not is_monitoring_installed(), reason=INSTALL),
]

SECONDS = 60
# A page is told after 0.1 s, a warning after 0.3 s, and the end of either after 3 s.
PACE = 100.0


@pytest.fixture
def slack() -> Iterator[Slack]:
    with running_slack() as slack:
        yield slack


@pytest.fixture
def alertmanager(slack: Slack, tmp_path: Path) -> Iterator[str]:
    with running_alertmanager(tmp_path, slack.address, pace=PACE) as address:
        yield f"http://{address}/api/v2/alerts"


def alert(name: str, severity: str, model: str, ended: bool = False) -> dict[str, Any]:
    now = datetime.now(timezone.utc)
    until = now if ended else now + timedelta(hours=1)
    return {
        "labels": {"alertname": name, "severity": severity, "model": model},
        "annotations": {"summary": f"{name} of {model}", "action": "Act.", "runbook": f"docs#{name.lower()}"},
        "startsAt": (now - timedelta(minutes=5)).isoformat(),
        "endsAt": until.isoformat(),
    }


def post(alertmanager: str, *alerts: dict[str, Any]) -> None:
    httpx.post(alertmanager, json=alerts).raise_for_status()


def silenced(alertmanager: str) -> set[tuple[str, str]]:
    """The alerts of which nobody is told because of another one: name and model."""
    return {
        (one["labels"]["alertname"], one["labels"]["model"])
        for one in httpx.get(alertmanager).json()
        if one["status"]["inhibitedBy"]
    }


def test_who_is_told_that_users_see_errors_is_not_told_also_that_a_track_of_that_model_is_slow(
    alertmanager, slack
):
    errors = ("UsersSeeErrors", "page", "clicks")
    post(alertmanager, alert(*errors))
    assert slack.await_message("FIRING UsersSeeErrors", SECONDS)
    slow, fails = ("TrackIsSlow", "warning", "clicks"), ("CanaryFails", "warning", "clicks")
    post(alertmanager, alert(*slow), alert(*fails), alert("TrackIsSlow", "warning", "views"))

    expected = {("TrackIsSlow", "clicks"), ("CanaryFails", "clicks")}
    eventually(lambda: silenced(alertmanager), lambda seen: seen == expected)
    assert slack.await_message("TrackIsSlow of views", SECONDS)
    post(alertmanager, *(alert(*one, ended=True) for one in (slow, fails)))
    post(alertmanager, alert(*errors, ended=True))
    assert slack.await_message("RESOLVED UsersSeeErrors", SECONDS)

    assert [message.text.splitlines() for message in slack.messages] == [
        ["FIRING UsersSeeErrors", "UsersSeeErrors of clicks", "Act. (docs#usersseeerrors)"],
        ["FIRING TrackIsSlow", "TrackIsSlow of views", "Act. (docs#trackisslow)"],
        ["RESOLVED UsersSeeErrors", "UsersSeeErrors of clicks", "Act. (docs#usersseeerrors)"],
    ]


def test_two_alerts_of_one_name_and_model_are_one_message_and_their_end_is_one_too(alertmanager, slack):
    tracks = [alert("TrackIsSlow", "warning", "clicks") for _ in range(2)]
    for one, track in zip(tracks, ("stable", "canary"), strict=True):
        one["labels"]["track"] = track
        one["annotations"]["summary"] = f"{track} is slow"
    post(alertmanager, *tracks)
    assert slack.await_message("FIRING TrackIsSlow", SECONDS)

    ends = datetime.now(timezone.utc).isoformat()
    post(alertmanager, *({**one, "endsAt": ends} for one in tracks))
    assert slack.await_message("RESOLVED TrackIsSlow", SECONDS)

    [fired, resolved] = slack.messages
    for message in (fired, resolved):
        assert message.text.count("Act. (docs#trackisslow)") == 2
        assert all(f"{track} is slow" in message.text for track in ("stable", "canary"))
