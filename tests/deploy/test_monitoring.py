"""What watches the tracks and the nights, checked by its own tools."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from ml.pipelines import load_valid_pipelines
from ml.release.observer import ANSWER_SECONDS
from tests.demo.prometheus import DEPLOY, INSTALL, is_monitoring_installed

pytestmark = pytest.mark.skipif(not is_monitoring_installed(), reason=INSTALL)

PROMETHEUS = DEPLOY / "prometheus"
LINE = {
    "time": "2026-03-10T12:00:00+00:00",
    "trace": "82",
    "face": "rest",
    "model": "clicks",
    "track": "stable",
    "outcome": "ok",
    "status": "200",
    "seconds": "0.004",
    "score": "0.12",
    "answered_by": "stable",
    "answer": "ok",
    "request_seconds": "0.005",
    "version": "",
    "server": "127.0.0.1:8501",
    "http_status": "200",
    "bytes": "300",
}
FELL_BACK = {"track": "canary", "outcome": "failed", "status": "502", "seconds": "0.000", "score": "0.3"}

Metrics = dict[tuple[str, ...], float]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=60)


def count(log: Path, *lines: dict[str, str] | str) -> Metrics:
    """What mtail makes of some lines: (metric, label values …) → value."""
    texts = [line if isinstance(line, str) else json.dumps(line, separators=(",", ":")) for line in lines]
    log.write_text("".join(f"{text}\n" for text in texts))
    once = ["--one_shot", "--one_shot_format", "prometheus", "--address", "127.0.0.1", "--port", "0"]
    read = run("mtail", "--progs", DEPLOY / "mtail", "--logs", log, "--emit_prog_label=false", *once)
    families = text_string_to_metric_families(read.stdout + "\n")
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in families
        for sample in family.samples
    }


def test_prometheus_takes_its_configuration_and_its_rules():
    checked = run("promtool", "check", "config", PROMETHEUS / "prometheus.yml")

    assert checked.returncode == 0, checked.stderr


def test_the_exporter_has_answered_before_prometheus_gives_it_up():
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]

    [patience] = [job["scrape_timeout"] for job in jobs if job["job_name"] == "retraining"]
    assert float(patience.removesuffix("s")) >= ANSWER_SECONDS * 2


def test_the_rules_pass_their_own_tests():
    tested = run("promtool", "test", "rules", *sorted((PROMETHEUS / "tests").glob("*.yml")))

    assert tested.returncode == 0, tested.stdout + tested.stderr


def alert_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "rules" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize("alert", alert_rules(), ids=lambda alert: alert["alert"])
def test_every_alert_says_how_urgent_it_is_what_happened_what_to_do_and_where_to_read_on(alert):
    runbook = f"docs/operations.md#{alert['alert'].lower()}"

    assert alert["labels"]["severity"] in ("page", "warning")
    assert set(alert["annotations"]) == {"summary", "action", "runbook"}
    assert alert["annotations"]["runbook"] == runbook
    assert f"\n### {alert['alert']}\n" in (DEPLOY.parent / "docs" / "operations.md").read_text()


def expected_alerts() -> list[tuple[str, dict[str, str]]]:
    """Alert and labels of each that the rules' tests see firing."""
    tests = [yaml.safe_load(file.read_text()) for file in sorted((PROMETHEUS / "tests").glob("*.yml"))]
    cases = [case for file in tests for test in file["tests"] for case in test.get("alert_rule_test", ())]
    return [(case["alertname"], fired["exp_labels"]) for case in cases for fired in case["exp_alerts"]]


def test_every_alert_is_seen_firing_by_a_test():
    assert {name for name, _ in expected_alerts()} == {alert["alert"] for alert in alert_rules()}


def test_an_alert_about_one_track_of_a_model_says_which_or_the_watch_would_blame_stable():
    of_tracks = {alert["alert"] for alert in alert_rules() if "track" in alert["expr"]}

    fired = [(name, labels) for name, labels in expected_alerts() if "model" in labels]
    assert {name for name, labels in fired if "track" in labels} == of_tracks & {name for name, _ in fired}
    assert {"UsersSeeErrors", "NoTraffic"} == {name for name, labels in fired if "track" not in labels}


def test_a_pipeline_is_watched_by_alerts_that_there_are_and_that_speak_of_its_users():
    known = {alert["alert"]: alert for alert in alert_rules()}
    named = re.findall(r"alerts: \[(.*)\]", (DEPLOY.parent / "docs" / "operations.md").read_text())
    shipped = [watch.alerts for one in load_valid_pipelines() if (watch := one.serving.watch)]

    names = {name for names in (*shipped, *(line.split(", ") for line in named)) for name in names}
    assert names
    assert names <= set(known)
    assert all("$labels.model" in known[name]["annotations"]["summary"] for name in names)


def test_alertmanager_takes_its_configuration_and_the_secret_is_in_a_file_of_its_own():
    file = DEPLOY / "alertmanager" / "alertmanager.yml"

    checked = run("amtool", "check-config", file)

    assert checked.returncode == 0, checked.stderr
    written = yaml.safe_load(file.read_text())
    assert "slack_api_url" not in written["global"]
    assert written["global"]["slack_api_url_file"].startswith("/run/secrets/")


@pytest.mark.parametrize("severity", ["page", "warning"])
def test_every_alert_has_a_receiver(severity):
    file = DEPLOY / "alertmanager" / "alertmanager.yml"

    routed = run("amtool", "config", "routes", "test", f"--config.file={file}", f"severity={severity}")

    assert routed.stdout.strip() == "slack", routed.stderr


def test_an_answer_counts_for_its_track_with_its_time_and_its_score(tmp_path):
    metrics = count(tmp_path / "access.log", LINE, LINE)

    assert metrics["router_requests_total", "rest", "clicks", "ok", "stable"] == 2
    assert metrics["router_answers_total", "rest", "clicks", "ok", "stable"] == 2
    assert metrics["router_track_seconds_bucket", "rest", "0.002", "clicks", "stable"] == 0
    assert metrics["router_track_seconds_bucket", "rest", "0.005", "clicks", "stable"] == 2
    assert metrics["router_score_bucket", "0.1", "clicks", "stable"] == 0
    assert metrics["router_score_bucket", "0.15", "clicks", "stable"] == 2


def test_a_canary_that_failed_counts_against_the_canary_and_the_answer_for_stable(tmp_path):
    metrics = count(tmp_path / "access.log", LINE | FELL_BACK)

    assert metrics["router_requests_total", "rest", "clicks", "failed", "canary"] == 1
    assert metrics["router_answers_total", "rest", "clicks", "ok", "stable"] == 1
    assert not any(name.startswith(("router_score", "router_track_seconds")) for name, *_ in metrics)


@pytest.mark.parametrize(
    ("face", "status", "counted"),
    [
        ("rest", "200", "200"),
        ("rest", "404", "404"),
        ("rest", "503", "503"),
        ("grpc", "0", "0"),
        ("grpc", "14", "14"),
        ("grpc", "17", "other"),
        ("rest", "999", "other"),
        ("rest", "", "other"),
    ],
)
def test_a_track_s_answers_are_counted_by_their_code_and_what_is_none_is_another(
    tmp_path, face, status, counted
):
    line = LINE | {"face": face, "track": "canary", "status": status}

    metrics = count(tmp_path / "access.log", line, line)

    found = {
        tuple(labels): value for (name, *labels), value in metrics.items() if name == "router_statuses_total"
    }
    assert found == {(face, "clicks", counted, "canary"): 2}


@pytest.mark.parametrize(
    ("seconds", "score"), [("0.000", "0"), ("0.000", "7.5e-7"), ("0.001", "-0.5"), ("40.5", "12.5")]
)
def test_no_value_falls_between_the_buckets(tmp_path, seconds, score):
    metrics = count(tmp_path / "access.log", LINE | {"seconds": seconds, "score": score})

    assert metrics["router_track_seconds_bucket", "rest", "+Inf", "clicks", "stable"] == 1
    assert metrics["router_score_bucket", "+Inf", "clicks", "stable"] == 1


@pytest.mark.parametrize("score", ["", "NaN", "unreadable"])
def test_an_answer_without_a_score_is_still_an_answer(tmp_path, score):
    metrics = count(tmp_path / "access.log", LINE | {"score": score})

    assert metrics["router_requests_total", "rest", "clicks", "ok", "stable"] == 1
    assert ("router_score_count", "clicks", "stable") not in metrics


NOBODY_ASKED = LINE | {"model": "", "track": "", "outcome": "", "answered_by": "", "answer": ""}


@pytest.mark.parametrize(
    ("face", "http_status", "counted"),
    [
        ("rest", "404", ("router_turned_away_total", "rest")),
        ("grpc", "200", ("router_turned_away_total", "grpc")),
        # nginx itself, before the router's script is asked.
        ("", "413", ("router_turned_away_total", "")),
        ("", "500", ("router_own_failures_total",)),
        ("rest", "500", ("router_own_failures_total",)),
        ("grpc", "500", ("router_own_failures_total",)),
        # Closed without an answer.
        ("rest", "000", ("router_own_failures_total",)),
        ("", "499", ("router_abandoned_total", "", "", "")),
    ],
)
def test_a_request_that_no_track_was_asked_for_counts_by_who_is_to_blame(
    tmp_path, face, http_status, counted
):
    line = NOBODY_ASKED | {"face": face, "http_status": http_status}

    metrics = count(tmp_path / "access.log", line, LINE)

    blamed = ("router_turned_away_total", "router_own_failures_total", "router_abandoned_total")
    found = {labels: value for labels, value in metrics.items() if labels[0] in blamed and value}
    assert found == {counted: 1}
    assert metrics["router_unread_lines_total",] == 0


def test_who_leaves_while_a_track_is_asked_counts_against_that_track(tmp_path):
    left = LINE | {"face": "grpc", "track": "canary", "outcome": "", "status": "", "answer": ""}

    metrics = count(tmp_path / "access.log", left | {"http_status": "499"})

    assert metrics["router_abandoned_total", "grpc", "clicks", "canary"] == 1
    assert metrics["router_requests_total", "grpc", "clicks", "failed", "canary"] == 1
    assert metrics["router_statuses_total", "grpc", "clicks", "other", "canary"] == 1
    assert not any(name == "router_answers_total" for name, *_ in metrics)


def test_a_mistake_of_the_router_counts_against_no_track(tmp_path):
    metrics = count(tmp_path / "access.log", LINE | {"answer": "", "http_status": "500"})

    assert metrics["router_own_failures_total",] == 1
    assert not any(name.startswith(("router_requests", "router_answers")) for name, *_ in metrics)


def test_an_unknown_format_is_not_passed_over(tmp_path):
    metrics = count(tmp_path / "access.log", NOBODY_ASKED, "another format", LINE)

    assert metrics["router_unread_lines_total",] == 1
