from __future__ import annotations

import json

import pytest

DESCRIBE = """
import json
from airflow.dag_processing.dagbag import DagBag
from retraining.run_note import SUMMARIES
bag = DagBag("dags")
dag = bag.dags.get("rollout_clicks")
push = bag.dags["retrain_clicks"].get_task("push_model")
print(json.dumps({
    "errors": bag.import_errors,
    "tasks": {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks} if dag else None,
    "starts by": [asset.name for asset in dag.timetable.asset_condition.objects] if dag else None,
    "outlets": [asset.name for asset in push.outlets],
    "connections": push.connections,
    "noted": SUMMARIES["rollout_"],
    "watch": dag.get_task("watch_canary").connections if dag else None,
    "told of": sorted(task.task_id for task in dag.tasks if task.has_on_skipped_callback) if dag else None,
}))
"""


def described(run_python, canary: str) -> dict:
    return json.loads(run_python(DESCRIBE, RETRAIN_CLICKS__SERVING__CANARY=canary).splitlines()[-1])


@pytest.fixture(scope="module")
def described_with_canary(run_python) -> dict:
    return described(run_python, "{share: 0.1, servers: two}")


def test_the_push_of_a_canary_starts_its_rollout(described_with_canary: dict) -> None:
    assert described_with_canary["errors"] == {}
    assert described_with_canary["outlets"] == described_with_canary["starts by"] == ["canary_clicks"]
    assert described_with_canary["connections"]["canary"] == "serving_canary_default"


def test_it_is_watched_and_then_promoted_withdrawn_or_held(described_with_canary: dict) -> None:
    tasks = described_with_canary["tasks"]

    assert described_with_canary["watch"] == {"prometheus": "prometheus_default"}
    assert tasks["watch_canary"] == ["find_canary"]
    assert tasks["decide"] == ["watch_canary"]
    assert described_with_canary["noted"] == ["Trial: ", "watch_canary"]
    for end in ("promote_canary", "withdraw_canary", "tell_that_it_is_held"):
        assert tasks[end] == ["decide", "watch_canary"]


def test_what_was_decided_and_came_to_nothing_is_told(described_with_canary: dict) -> None:
    assert described_with_canary["told of"] == ["promote_canary", "withdraw_canary"]


def test_without_a_canary_a_night_is_as_it_was(run_python) -> None:
    without = described(run_python, "null")

    assert (without["tasks"], without["outlets"]) == (None, [])
    assert without["connections"] == {"serving": "serving_default", "mlflow": "mlflow_default"}
