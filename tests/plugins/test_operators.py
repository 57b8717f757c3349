from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow", reason="tests of the plugins need Airflow: make install")

from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
from retraining import run_note
from retraining.connections import read_connection
from retraining.operators import (
    BranchOperator,
    StepOperator,
    TrainOperator,
    WatchOperator,
    run_step,
)
from retraining.policies import RETRY_WHERE_IT_HELPS

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
    def step() -> None:
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
