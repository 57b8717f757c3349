from __future__ import annotations

import json

import pytest

DESCRIBE = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag("dags")
dag = bag.dags.get("realised_clicks")
print(json.dumps({
    "errors": bag.import_errors,
    "tasks": {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks} if dag else None,
    "connections": {task.task_id: getattr(task, "connections", {}) for task in dag.tasks} if dag else None,
    "nights": sorted(bag.dags["retrain_clicks"].task_ids),
}))
"""
REALISED = "{share: 0.1, realised: {inputs: [user_id, item_id]}}"


def described(run_python, canary: str) -> dict:
    return json.loads(run_python(DESCRIBE, RETRAIN_CLICKS__SERVING__CANARY=canary).splitlines()[-1])


@pytest.fixture(scope="module")
def dag(run_python) -> dict:
    return described(run_python, REALISED)


def test_the_day_is_landed_and_joined_only_if_a_canary_was_tried(dag: dict) -> None:
    assert dag["errors"] == {}
    assert dag["tasks"]["find_trials"] == ["wait_for_settle"]
    assert dag["tasks"]["land_examples"] == dag["tasks"]["land_predictions"] == ["find_trials"]
    assert dag["tasks"]["judge_realised"] == ["land_examples", "land_predictions"]
    assert dag["tasks"]["record_realised"] == ["judge_realised"]


def test_only_doubt_is_told(dag: dict) -> None:
    assert dag["tasks"]["tell_that_it_is_doubted"] == ["decide", "record_realised"]
    assert dag["tasks"]["nobody_is_told"] == ["decide"]


def test_it_moves_nothing_and_stands_in_no_nights_way(dag: dict) -> None:
    moving = {"push_model", "promote_canary", "withdraw_canary", "roll_back"}

    assert not moving & dag["tasks"].keys()
    assert not {"judge_realised", "record_realised"} & set(dag["nights"])


def test_its_tasks_reach_both_servers_for_their_locks_and_the_router_s_record(dag: dict) -> None:
    assert dag["connections"]["land_predictions"] == {"serving": "serving_default"}
    assert dag["connections"]["record_realised"] == {
        "serving": "serving_default",
        "canary": "serving_canary_default",
        "mlflow": "mlflow_default",
    }


@pytest.mark.parametrize("canary", ["null", "{share: 0.1}"])
def test_without_a_word_on_realised_labels_there_is_no_such_dag(run_python, canary: str) -> None:
    assert described(run_python, canary)["tasks"] is None
