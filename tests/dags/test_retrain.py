from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

DESCRIBE = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag("dags")
print(json.dumps({
    "errors": bag.import_errors,
    "seconds": max((stat.duration.total_seconds() for stat in bag.dagbag_stats), default=0),
    "dags": {
        dag_id: {
            "tasks": {
                task.task_id: {
                    "upstream": sorted(task.upstream_task_ids), "retries": task.retries, "owner": task.owner,
                    "trigger_rule": task.trigger_rule.value, "doc": bool(task.doc_md),
                    "policy": type(task.retry_policy).__name__,
                    "arguments": {
                        name: str(value) for name, value in getattr(task, "arguments", {}).items()
                    },
                    "start_without_a_day": task.render_template(
                        getattr(task, "arguments", {}).get("start", ""), {}, dag.get_template_env()
                    ),
                }
                for task in dag.tasks
            },
            "timetable": type(dag.timetable).__name__, "zone": str(dag.timezone), "tags": sorted(dag.tags),
            "params": list(dag.params), "catchup": dag.catchup, "doc": bool(dag.doc_md),
            "paused": dag.is_paused_upon_creation,
        }
        for dag_id, dag in bag.dags.items()
    },
}))
"""


@pytest.fixture(scope="module")
def bag(run_python) -> dict:
    return json.loads(run_python(DESCRIBE).splitlines()[-1])


@pytest.fixture
def tasks(bag) -> dict:
    return bag["dags"]["retrain_clicks"]["tasks"]


def test_the_dags_parse(bag) -> None:
    assert bag["errors"] == {}
    assert {"retrain_clicks", "backfill_clicks", "report_backfill_clicks"} <= set(bag["dags"])


def test_who_tells_of_silent_failures_is_on_from_the_start_and_tries_again(bag) -> None:
    teller = bag["dags"]["tell_of_failed_runs"]

    assert teller["paused"] is False
    assert (teller["tasks"]["tell"]["retries"], teller["tasks"]["tell"]["policy"]) == (
        3,
        "ExceptionRetryPolicy",
    )
    assert teller["params"] == ["report"]


def test_a_person_can_decide_about_the_landing_of_the_night(bag) -> None:
    night = bag["dags"]["retrain_clicks"]

    assert {"accept_gap", "refresh_landing"} <= set(night["params"])
    assert night["tasks"]["land_examples"]["arguments"]["accept_gap"] == "{{ params.accept_gap }}"
    assert night["tasks"]["land_examples"]["arguments"]["refresh"] == "{{ params.refresh_landing }}"


def test_a_run_of_no_day_is_refused_in_words_by_the_tasks_that_run_in_any_case(tasks) -> None:
    in_any_case = [task for task in tasks.values() if task["trigger_rule"] == "all_done"]

    assert [task["start_without_a_day"] for task in in_any_case] == ["", ""]


def test_a_night_has_a_window(bag) -> None:
    assert bag["dags"]["retrain_clicks"]["timetable"] == "CronDataIntervalTimetable"
    assert bag["dags"]["retrain_clicks"]["catchup"] is False


def test_the_walk_is_wired_as_designed(tasks) -> None:
    upstream = {name: task["upstream"] for name, task in tasks.items()}

    assert upstream == {
        "wait_for_settle": [],
        "resolve_production": ["wait_for_settle"],
        "land_examples": ["wait_for_settle"],
        "compute_statistics": ["land_examples"],
        "validate_examples": ["compute_statistics", "land_examples"],
        "measure_drift": ["compute_statistics", "resolve_production"],
        "gather_window": ["compute_statistics", "land_examples", "validate_examples"],
        "train_candidate": ["gather_window"],
        "evaluate_candidate": ["gather_window", "resolve_production", "train_candidate"],
        "decide_blessing": ["evaluate_candidate", "measure_drift", "resolve_production", "validate_examples"],
        "log_to_mlflow": [
            "compute_statistics",
            "decide_blessing",
            "evaluate_candidate",
            "gather_window",
            "land_examples",
            "measure_drift",
            "resolve_production",
            "train_candidate",
            "validate_examples",
        ],
        "push_model": ["decide_blessing", "evaluate_candidate", "log_to_mlflow", "measure_drift"],
    }


def test_every_night_is_judged_and_logged_and_only_a_whole_one_is_pushed(tasks) -> None:
    rules = {name: task["trigger_rule"] for name, task in tasks.items()}

    assert rules.pop("decide_blessing") == rules.pop("log_to_mlflow") == "all_done"
    assert set(rules.values()) == {"all_success"}


def test_every_step_retries_only_where_it_helps(tasks) -> None:
    assert {task["policy"] for task in tasks.values()} == {"ExceptionRetryPolicy"}
    assert {task["retries"] for task in tasks.values()} == {3}


def test_everything_is_owned_and_documented(bag, tasks) -> None:
    assert {task["owner"] for task in tasks.values()} == {"recommendations"}
    assert [name for name, task in tasks.items() if not task["doc"]] == ["wait_for_settle"]
    assert bag["dags"]["retrain_clicks"]["doc"]
    assert "retraining" in bag["dags"]["retrain_clicks"]["tags"]


@pytest.fixture
def views(tmp_path: Path) -> Path:
    """A second pipeline folder, a copy of the first."""
    return Path(shutil.copytree("ml/pipelines/clicks", tmp_path / "views"))


def test_a_second_folder_gives_a_second_dag(run_python, views: Path) -> None:
    bag = json.loads(run_python(DESCRIBE, RETRAIN_PIPELINES=str(views.parent)).splitlines()[-1])

    assert {"retrain_clicks", "retrain_views", "backfill_clicks", "backfill_views"} <= set(bag["dags"])


def test_a_broken_folder_is_an_import_error_and_takes_no_other_dag_away(run_python, views: Path) -> None:
    (views / "pipeline.yaml").write_text("owner: nobody")

    bag = json.loads(run_python(DESCRIBE, RETRAIN_PIPELINES=str(views.parent)).splitlines()[-1])
    assert "retrain_clicks" in bag["dags"]
    assert [dag_id for dag_id in bag["dags"] if dag_id.endswith("_views")] == []
    [(file, message)] = bag["errors"].items()
    assert file.endswith("check_pipelines.py")
    assert "gate: expected a value, found none" in message
