from __future__ import annotations

import json
from pathlib import Path

import pytest

from ml import steps
from ml.errors import Withheld
from ml.pipelines import load_pipeline
from ml.release import Records
from ml.release.ledger import Move
from ml.store import Store
from tests.ml.release.published import publish

DESCRIBE = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag("dags")
dag, rehearsal = bag.dags["rollback_clicks"], bag.dags["rehearse_clicks"]
print(json.dumps({
    "tasks": sorted(dag.task_ids),
    "schedule": dag.schedule,
    "starts at once": not dag.is_paused_upon_creation,
    "params": {name: param.schema | {"value": param.value if param.has_value else None}
               for name, param in dag.params.items()},
    "connections": dag.get_task("roll_back").connections,
    "rehearsal": rehearsal.get_task("rehearse_golden").connections,
    "rehearsed at once": not rehearsal.is_paused_upon_creation,
    "rehearsed after": sorted(rehearsal.get_task("rehearse_golden").upstream_task_ids),
}))
"""


@pytest.fixture(scope="module")
def form(run_python, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The form of a pipeline of which two versions were published."""
    home = tmp_path_factory.mktemp("home")
    for day in (2, 3):
        publish(Records(load_pipeline("clicks"), Store(home / "store")), day)
    return json.loads(run_python(DESCRIBE, RETRAIN_HOME=str(home)).splitlines()[-1])


def test_going_back_is_one_task_that_waits_for_nobody(form: dict) -> None:
    assert (form["tasks"], form["schedule"], form["starts at once"]) == (["roll_back"], None, True)
    assert form["connections"] == {"serving": "serving_default", "mlflow": "mlflow_default"}


def test_the_form_offers_what_there_is(form: dict) -> None:
    to = form["params"]["to"]

    assert to["value"] == "previous"
    assert to["enum"] == ["previous", "golden", "20261103001", "20261102001"]
    assert set(to["values_display"]) == set(to["enum"])
    assert to["values_display"]["previous"].startswith("previous: 20261102001, data of 2026-11-02, served ")


def test_the_form_asks_for_a_reason(form: dict) -> None:
    reason = form["params"]["reason"]

    assert (reason["value"], reason["minLength"]) == (None, 3)


def test_the_rehearsal_has_a_model_server_of_its_own(form: dict) -> None:
    assert form["rehearsal"] == {"serving": "serving_default", "scratch": "serving_scratch"}


def test_the_rehearsal_needs_nobody_to_switch_it_on_and_is_skipped_without_a_golden_version(
    form: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path))
    records = Records(load_pipeline("clicks"), Store(tmp_path / "store"))
    version = publish(records, 2)

    assert (form["rehearsed at once"], form["rehearsed after"]) == (True, ["find_golden"])
    with pytest.raises(Withheld, match="clicks has no golden version, so there is nothing to rehearse"):
        steps.find_golden("clicks")
    golden = Move("golden", "golden", version, None, "ada", "two calm weeks")
    records.ledger.append("moving", golden)
    records.ledger.record(golden)
    assert steps.find_golden("clicks") == version.number
