"""The parameters that the pages tell their readers to give: Airflow takes wrong ones without a word."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGES = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
GIVEN = re.compile(
    r"airflow (?:backfill create --dag-id|dags trigger) (\S+)[^\n]*?--(?:dag-run-)?conf '([^']*)'"
)
CHECK = """
import json, os
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import ParamValidationError

dags = DagBag("dags").dags

def complaint(dag_id, conf):
    params = dags[dag_id].params
    if unknown := sorted(set(conf) - set(params)):
        return f"{dag_id} has no parameter {unknown}"
    try:
        params.update(conf)
    except ParamValidationError as error:
        return str(error)

print(json.dumps([complaint(*given) for given in json.loads(os.environ["GIVEN"])]))
"""

Given = tuple[str, dict[str, Any]]
Ask = Callable[[list[Given]], list[str | None]]


@pytest.fixture(scope="module")
def complaints(run_python: Callable[..., str]) -> Ask:
    """What the DAGs' own parameters have to say about those that are given to a run; None if nothing."""

    def ask(given: list[Given]) -> list[str | None]:
        answer: list[str | None] = json.loads(run_python(CHECK, GIVEN=json.dumps(given)).splitlines()[-1])
        return answer

    return ask


def given_in(page: Path) -> list[Given]:
    """DAG and parameters of each of a page's commands that gives some."""
    text = page.read_text().replace("\\\n", " ")
    return [(dag_id, json.loads(conf)) for dag_id, conf in GIVEN.findall(text)]


def test_the_pages_give_parameters_that_the_dags_know(complaints: Ask) -> None:
    given = [one for page in PAGES for one in given_in(page)]

    assert dict(zip(map(str, given), complaints(given), strict=True)) == dict.fromkeys(map(str, given))
    assert {"refresh_production", "accept_gap", "what_if", "what_if_settings", "first", "last"} <= {
        name for _, conf in given for name in conf
    }


def test_every_conf_of_the_backfills_page_is_read() -> None:
    [page] = [page for page in PAGES if page.name == "backfills.md"]
    commands = [line for line in page.read_text().splitlines() if line.startswith("$ airflow")]

    assert len(given_in(page)) == sum("conf '" in command for command in commands) > 5


def test_wrong_parameters_are_noticed(complaints: Ask) -> None:
    misspelt, not_text, no_name = complaints(
        [
            ("retrain_clicks", {"acept_gap": "broker outage"}),
            ("retrain_clicks", {"accept_gap": 3}),
            ("retrain_clicks", {"what_if": "More Epochs"}),
        ]
    )

    assert misspelt == "retrain_clicks has no parameter ['acept_gap']"
    assert "3 is not of type 'string'" in str(not_text)
    assert "'More Epochs' does not match" in str(no_name)
