from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow", reason="tests of the plugins need Airflow: make install")

from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
from retraining import notifications, run_note
from retraining.connections import read_connection
from retraining.operators import (
    BranchOperator,
    StepOperator,
    TellNewsOperator,
    TellOperator,
    TrainOperator,
    WatchOperator,
    run_step,
)
from retraining.policies import RETRY_WHERE_IT_HELPS

from deploy.make_env import NO_WEBHOOK
from ml import errors, steps
from ml.artifact import Artifact

ANOMALIES = Artifact(kind="anomalies", uri="store:clicks/anomalies/x", digest="d")


class Task:
    """The little of a running task instance that a step's operator uses."""

    def __init__(self, version: str | None = None) -> None:
        self.bundle_instance = SimpleNamespace(version=version)
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


@pytest.fixture
def task() -> Task:
    return Task()


def operator(step: str, **arguments: Any) -> StepOperator:
    return StepOperator(task_id=step, step=step, arguments=arguments)


def raising(error: Exception) -> Any:
    def step(*_: object) -> None:
        raise error

    return step


def test_a_task_runs_the_step_it_is_named_after(task: Task) -> None:
    assert "20 fields" in operator("check_pipeline", pipeline="clicks").execute({"ti": task})


def test_a_task_is_documented_as_its_step_is() -> None:
    made = run_step(steps.check_pipeline, {"pipeline": "clicks"}).operator

    assert made.task_id == "check_pipeline"
    assert made.doc_md.startswith("Read and check a pipeline's settings")


def test_what_the_gate_withholds_is_skipped(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "push_model", raising(errors.Withheld("PAUSED: device drifted")))

    with pytest.raises(AirflowSkipException, match="device drifted"):
        operator("push_model").execute({"ti": task})


def test_a_note_keeps_to_what_airflow_can_hold() -> None:
    short, long = run_note.shorten("Verdict: PASS"), run_note.shorten("x" * 2000)

    assert short == "Verdict: PASS"
    assert len(long) == 1000
    assert long.endswith("…")


def test_a_rejected_day_leaves_its_evidence_to_the_tasks_after_it(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "validate_examples", raising(errors.AnomaliesFound("quantity", ANOMALIES)))

    with pytest.raises(errors.AnomaliesFound):
        operator("validate_examples").execute({"ti": task})
    assert task.pushed == {"return_value": ANOMALIES}


def test_the_commit_of_a_git_bundle_reaches_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAIN_COMMIT", "")

    operator("check_pipeline", pipeline="clicks").execute({"ti": Task(version="c0ffee")})
    assert os.environ["RETRAIN_COMMIT"] == "c0ffee"


def test_a_what_if_of_the_dag_run_reaches_the_step_and_ends_with_it(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}
    monkeypatch.setattr(steps, "check_pipeline", lambda: seen.update(os.environ))
    params = {"what_if": "more-epochs", "what_if_settings": {"training.epochs": 4}}

    operator("check_pipeline").execute({"ti": task, "params": params})
    assert seen["RETRAIN_WHAT_IF"] == "more-epochs"
    assert json.loads(seen["RETRAIN_WHAT_IF_SETTINGS"]) == {"training.epochs": 4}
    assert "RETRAIN_WHAT_IF" not in os.environ


def test_a_what_if_with_a_wrong_name_stops_with_a_reason(task: Task) -> None:
    with pytest.raises(errors.Misconfigured, match="cannot be named 'Ä'"):
        operator("check_pipeline").execute({"ti": task, "params": {"what_if": "Ä"}})


def test_a_killed_training_ends_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr(steps, "stop_training", lambda: stopped.append(True))

    TrainOperator(task_id="train_candidate", step="train_candidate", arguments={}).on_kill()
    assert stopped == [True]


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (errors.Unavailable("no broker"), RetryAction.RETRY),
        (errors.Interrupted("a worker died"), RetryAction.RETRY),
        (errors.Misconfigured("no topic"), RetryAction.FAIL),
        (errors.NoRecords("empty"), RetryAction.FAIL),
        (errors.WindowExpired("gone"), RetryAction.FAIL),
        (errors.StoreCorrupted("bytes"), RetryAction.FAIL),
        (OSError(28, "no space left on device"), RetryAction.RETRY),
        (ZeroDivisionError(), RetryAction.FAIL),
    ],
)
def test_only_what_a_retry_can_help_is_retried(error: Exception, action: RetryAction) -> None:
    assert RETRY_WHERE_IT_HELPS.evaluate(error, try_number=1, max_tries=3).action is action


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Any:
    def define(name: str, **content: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(content))

    return define


def test_the_kafka_connection_is_librdkafkas_configuration(connection: Any) -> None:
    connection(
        "kafka_test", conn_type="kafka", extra={"bootstrap.servers": "b:9092", "sasl.password": "s3cret"}
    )

    read = read_connection("kafka", "kafka_test")
    assert read.plain() == {"bootstrap.servers": "b:9092", "sasl.password": "s3cret"}  # type: ignore[attr-defined]
    assert "s3cret" not in repr(read)


def test_the_mlflow_connection_is_an_address(connection: Any) -> None:
    connection(
        "mlflow_test", conn_type="http", host="mlflow", port=5000, schema="https", login="u", password="p"
    )

    assert read_connection("mlflow", "mlflow_test").uri == "https://mlflow:5000"  # type: ignore[attr-defined]


def test_links_to_mlflow_lead_where_browsers_reach_it(connection: Any) -> None:
    connection(
        "mlflow_test", conn_type="http", host="mlflow", port=5000, extra={"public_uri": "http://ml.example/"}
    )

    read = read_connection("mlflow", "mlflow_test")
    assert (read.uri, read.page) == ("http://mlflow:5000", "http://ml.example")  # type: ignore[attr-defined]


def test_a_serving_connection_that_lacks_something_says_what(connection: Any) -> None:
    connection("serving_test", conn_type="http", host="serving", port=8501, extra={"grpc": "serving:8500"})

    with pytest.raises(errors.Misconfigured, match="models_dir"):
        read_connection("serving", "serving_test")


def test_a_missing_connection_says_where_to_add_it() -> None:
    with pytest.raises(errors.Misconfigured, match="AIRFLOW_CONN_KAFKA_NOWHERE"):
        read_connection("kafka", "kafka_nowhere")


@pytest.fixture
def context() -> dict[str, Any]:
    from datetime import datetime

    task = SimpleNamespace(
        dag_id="retrain_clicks", task_id="land_examples", run_id="by_hand", log_url="http://airflow/log"
    )
    return {
        "ti": task,
        "dag_run": SimpleNamespace(run_type="scheduled"),
        "data_interval_start": datetime(2026, 3, 10),
        "exception": errors.NoRecords("empty"),
    }


def test_a_stopped_night_says_which_where_and_why(context: dict[str, Any]) -> None:
    message = notifications.describe(context)

    assert message == (
        "retrain_clicks, night of 2026-03-10: stopped at land_examples: empty\nhttp://airflow/log"
    )


def test_a_night_that_is_not_published_says_why(context: dict[str, Any]) -> None:
    context |= {"withheld": errors.Withheld("not published, PAUSED: device drifted"), "exception": None}

    assert notifications.describe(context) == (
        "retrain_clicks, night of 2026-03-10: not published, PAUSED: device drifted\nhttp://airflow/log"
    )


def test_a_run_of_no_night_is_named_by_its_id(context: dict[str, Any]) -> None:
    context["ti"].dag_id = "watch_clicks"
    assert notifications.describe(context).startswith("watch_clicks, by_hand: stopped at land_examples")

    del context["data_interval_start"]
    context["ti"].dag_id = "retrain_clicks"
    assert notifications.describe(context).startswith("retrain_clicks, by_hand: stopped at land_examples")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, connection: Any) -> list[str]:
    """What was sent to Slack, for which there is a Connection."""
    connection("slack_default", conn_type="slackwebhook", password="token")
    messages: list[str] = []
    monkeypatch.setattr(notifications, "send", messages.append)
    return messages


def test_a_scheduled_night_pages(context: dict[str, Any], sent: list[str]) -> None:
    notifications.notify(context)

    assert sent == [notifications.describe(context)]


@pytest.mark.parametrize("withheld", [None, errors.Withheld("not published, STALE")])
def test_a_night_of_a_backfill_never_pages(
    context: dict[str, Any], sent: list[str], withheld: Any, caplog: pytest.LogCaptureFixture
) -> None:
    context["dag_run"].run_type = "backfill"
    context |= {"withheld": withheld}

    notifications.notify(context)
    assert sent == []
    assert "it belongs to a backfill" in caplog.text


def test_a_what_if_never_pages(context: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    notifications.notify(context | {"params": {"what_if": "more-epochs"}})

    assert "it was a what-if" in caplog.text


def test_a_report_is_told_with_its_address(sent: list[str]) -> None:
    report = {"summary": "21 nights: 20 as before, 1 stopped", "url": "http://mlflow/runs/1"}

    TellOperator(task_id="tell", report=report).execute({})
    assert sent == ["21 nights: 20 as before, 1 stopped\nhttp://mlflow/runs/1"]


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """The news that were marked as told, each with its pipeline."""
    marked: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(steps, "mark_told", lambda pipeline, news: marked.append((pipeline, news)))
    return marked


NEWS = {
    "pipeline": "clicks",
    "news": ["Prometheus is down", "alias and label differ"],
    "url": "http://airflow/run",
}


def test_news_are_told_in_one_message_and_no_news_are_skipped(
    sent: list[str], marked: list[tuple[str, list[str]]]
) -> None:
    TellNewsOperator(task_id="tell", report=NEWS).execute({})
    with pytest.raises(AirflowSkipException):
        TellNewsOperator(task_id="tell", report={**NEWS, "news": []}).execute({})
    assert marked == [("clicks", NEWS["news"])]
    assert sent == ["Prometheus is down\nalias and label differ\nhttp://airflow/run"]


def test_news_that_slack_did_not_take_are_not_marked_as_told(
    monkeypatch: pytest.MonkeyPatch, marked: list[tuple[str, list[str]]]
) -> None:
    monkeypatch.setattr("retraining.operators.tell", raising(ConnectionError("Slack is away")))

    with pytest.raises(ConnectionError):
        TellNewsOperator(task_id="tell", report=NEWS).execute({})
    assert marked == []


@pytest.mark.parametrize(("before", "count"), [(None, 1), ("success", 1), ("failed", 0)])
def test_of_many_failures_in_a_row_the_first_is_told(
    context: dict[str, Any], sent: list[str], before: str | None, count: int
) -> None:
    previous = before and SimpleNamespace(state=before)
    context["ti"].get_previous_dagrun = lambda: previous

    notifications.notify_of_first(context)
    assert len(sent) == count


def test_without_a_slack_connection_the_message_is_logged(
    context: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    notifications.notify(context)

    assert "night of 2026-03-10" in caplog.text


def test_a_webhook_that_nobody_has_given_yet_is_none(
    context: dict[str, Any], connection: Any, caplog: pytest.LogCaptureFixture
) -> None:
    connection("slack_default", conn_type="slackwebhook", password=NO_WEBHOOK)

    notifications.notify(context)

    assert "night of 2026-03-10" in caplog.text
    assert "SLACK_WEBHOOK_URL in .env is no address that Slack has given out yet" in caplog.text


def test_a_watch_defers_until_there_is_a_decision(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["WAIT", "WAIT", "HOLD"])

    def watch_canary() -> dict[str, Any]:
        return {"decision": next(answers), "summary": "so far", "poll_seconds": 60}

    monkeypatch.setattr(steps, "watch_canary", watch_canary)
    watch = WatchOperator(task_id="watch", step="watch_canary", arguments={})
    said: list[str] = []
    monkeypatch.setattr(watch.log, "info", lambda form, *values: said.append(form % values))

    with pytest.raises(TaskDeferred) as first:
        watch.execute({"ti": task})
    resume = getattr(watch, first.value.method_name)
    with pytest.raises(TaskDeferred):
        resume({"ti": task}, None)
    assert resume({"ti": task}, None)["decision"] == "HOLD"
    assert said == ["so far"] * 3


def test_a_decision_leads_to_one_task() -> None:
    branch = BranchOperator(task_id="decide", answer={"decision": "HOLD"}, branches={"HOLD": "tell"})

    assert branch.choose_branch({}) == "tell"
