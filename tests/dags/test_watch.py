from __future__ import annotations

import json

import pytest

DESCRIBE = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag("dags")
dag = bag.dags["watch_clicks"]
print(json.dumps({
    "errors": bag.import_errors,
    "paused": dag.is_paused_upon_creation, "catchup": dag.catchup, "at a time": dag.max_active_runs,
    "every": dag.timetable.expression,
    "tasks": {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks},
    "retries": {task.task_id: task.retries for task in dag.tasks},
    "failure": dag.get_task("watch_production").on_failure_callback[0].__name__,
    "connections": dag.get_task("watch_production").connections,
}))
"""


def described(run_python, watch: str) -> dict:
    return json.loads(run_python(DESCRIBE, RETRAIN_CLICKS__SERVING__WATCH=watch).splitlines()[-1])


@pytest.fixture(scope="module")
def dag(run_python) -> dict:
    return described(run_python, "{alerts: [UsersSeeErrors], connection: prometheus_of_users}")


def test_it_looks_every_five_minutes_one_look_at_a_time_and_none_is_caught_up_with(dag) -> None:
    assert dag["errors"] == {}
    assert (dag["every"], dag["catchup"], dag["at a time"]) == ("*/5 * * * *", False, 1)
    assert dag["tasks"] == {"watch_production": [], "tell": ["watch_production"]}


def test_who_watches_alerts_has_it_running_from_the_start(dag, run_python) -> None:
    without = described(run_python, "null")

    assert (dag["paused"], without["paused"]) == (False, True)
    servers = {"serving": "serving_default", "mlflow": "mlflow_default"}
    assert dag["connections"] == {**servers, "prometheus": "prometheus_of_users"}
    assert without["connections"] == servers


def test_the_next_look_is_its_retry_and_only_the_first_of_many_failures_is_told(dag) -> None:
    assert dag["retries"] == {"watch_production": 0, "tell": 0}
    assert dag["failure"] == "notify_of_first"
