from __future__ import annotations

import json

import pytest

DESCRIBE = """
import inspect, json
from airflow.dag_processing.dagbag import DagBag
from ml import steps
bag = DagBag("dags")
def fits(task):
    given = {**task.arguments, **task.connections}
    try:
        inspect.signature(getattr(steps, task.step)).bind(**given)
    except TypeError:
        return False
    return True
ask = {dag.dag_id: dag.get_task("ask_for_approval") for dag in bag.dags.values()
       if "ask_for_approval" in dag.task_ids}
print(json.dumps({
    "errors": bag.import_errors,
    "asked": {dag_id: task.verdicts for dag_id, task in ask.items()},
    "waits": {dag_id: task.response_timeout.total_seconds() for dag_id, task in ask.items()},
    "defaults": {dag_id: task.defaults for dag_id, task in ask.items()},
    "upstream": {f"{dag.dag_id}.{task.task_id}": sorted(task.upstream_task_ids)
                 for dag in bag.dags.values() for task in dag.tasks},
    "misfits": [f"{dag.dag_id}.{task.task_id}" for dag in bag.dags.values() for task in dag.tasks
                if hasattr(task, "step") and not fits(task)],
    "told of": sorted(task.task_id for task in bag.dags["rollout_clicks"].tasks
                      if task.has_on_skipped_callback) if "rollout_clicks" in bag.dags else None,
    "promotes": bag.dags["rollout_clicks"].get_task("decide").branches["PROMOTE"]
                if "rollout_clicks" in bag.dags else None,
}))
"""
CANARY = "{share: 0.1, realised: {inputs: [user_id, item_id]}}"


def described(run_python, canary: str, approval: str) -> dict:
    settings = {
        "RETRAIN_CLICKS__SERVING__CANARY": canary,
        "RETRAIN_CLICKS__SERVING__APPROVAL": approval,
    }
    return json.loads(run_python(DESCRIBE, **settings).splitlines()[-1])


@pytest.fixture(scope="module")
def asking(run_python) -> dict:
    return described(run_python, CANARY, "{verdicts: [BOOTSTRAP, PROMOTE], response_hours: 2}")


def test_a_push_waits_for_the_approval_of_the_verdicts_that_are_named(asking: dict) -> None:
    assert asking["errors"] == {}
    assert asking["asked"] == {"retrain_clicks": ["BOOTSTRAP"], "rollout_clicks": ["PROMOTE"]}
    assert "ask_for_approval" in asking["upstream"]["retrain_clicks.push_model"]
    assert asking["upstream"]["retrain_clicks.ask_for_approval"] == ["describe_night"]


def test_a_promotion_waits_for_one_and_a_withdrawal_for_nobody(asking: dict) -> None:
    assert asking["promotes"] == "describe_canary"
    assert asking["upstream"]["rollout_clicks.describe_canary"] == ["decide", "watch_canary"]
    assert asking["upstream"]["rollout_clicks.promote_canary"] == ["ask_for_approval", "watch_canary"]
    assert asking["upstream"]["rollout_clicks.withdraw_canary"] == ["decide", "watch_canary"]


def test_what_was_approved_or_rejected_and_came_to_nothing_is_told(asking: dict) -> None:
    assert asking["told of"] == ["ask_for_approval", "promote_canary", "withdraw_canary"]


def test_every_task_gives_its_step_the_arguments_that_it_takes(asking: dict) -> None:
    assert asking["misfits"] == []


def test_no_answer_in_time_is_no(asking: dict) -> None:
    assert set(asking["waits"].values()) == {7200}
    assert asking["defaults"] == {"retrain_clicks": ["Reject"], "rollout_clicks": ["Reject"]}


@pytest.mark.parametrize(("canary", "approval"), [("null", "null"), (CANARY, "null")])
def test_nobody_is_asked_where_nothing_is_named(run_python, canary: str, approval: str) -> None:
    found = described(run_python, canary, approval)

    assert (found["errors"], found["asked"]) == ({}, {})
    assert found["promotes"] in (None, "promote_canary")
