from __future__ import annotations

import json

import pytest

DESCRIBE = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag("dags")
dag = bag.dags["housekeeping_clicks"]
print(json.dumps({
    "errors": bag.import_errors,
    "params": {name: param for name, param in dag.params.dump().items()},
    "timetable": type(dag.timetable).__name__,
    "catchup": dag.catchup,
    "tasks": {
        task.task_id: {
            "upstream": sorted(task.upstream_task_ids), "arguments": task.arguments,
            "connections": task.connections, "operator": type(task).__name__,
        }
        for task in dag.tasks
    },
}))
"""


@pytest.fixture(scope="module")
def dag(run_python) -> dict:
    return json.loads(run_python(DESCRIBE).splitlines()[-1])


def test_every_day_it_plans_and_then_does_it(dag) -> None:
    tasks = dag["tasks"]

    assert dag["errors"] == {}
    assert (dag["timetable"], dag["catchup"]) == ("CronTriggerTimetable", False)
    assert {name: task["upstream"] for name, task in tasks.items()} == {
        "plan_housekeeping": [],
        "housekeep": ["plan_housekeeping"],
    }
    assert {task["operator"] for task in tasks.values()} == {"HousekeepingOperator"}


def test_a_person_can_have_it_only_say_what_it_would_do(dag) -> None:
    assert dag["params"] == {"dry_run": False}
    assert dag["tasks"]["housekeep"]["arguments"] == {
        "pipeline": "clicks",
        "dry_run": "{{ params.dry_run }}",
    }


def test_both_tasks_ask_all_who_know_what_must_stay(dag) -> None:
    for task in dag["tasks"].values():
        assert task["connections"] == {"serving": "serving_default", "mlflow": "mlflow_default"}
