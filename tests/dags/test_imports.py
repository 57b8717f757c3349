"""Airflow parses every DAG file again and again, and before each task: that must cost next to nothing."""

from __future__ import annotations

import json

import pytest

from tests.dags.conftest import ROOT
from tests.test_house_rules import HEAVY

DAGS = sorted(path.stem for path in (ROOT / "dags").glob("*.py"))
PARSE = f"""
import importlib, json, sys
found = {{}}
for dag in {DAGS!r}:
    before = set(sys.modules)
    importlib.import_module(f"dags.{{dag}}")
    found[dag] = sorted((set(sys.modules) - before).intersection({HEAVY!r}))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def heavy_imports(run_python) -> dict[str, list[str]]:
    """The heavy packages that each DAG file was the first to import, in a pipeline with a canary."""
    canary = {"RETRAIN_CLICKS__SERVING__CANARY": "{share: 0.1, servers: two}"}
    return json.loads(run_python(PARSE, PYTHONPATH=".:plugins", **canary).splitlines()[-1])


@pytest.mark.parametrize("dag", DAGS)
def test_parsing_imports_nothing_heavy(heavy_imports: dict[str, list[str]], dag: str) -> None:
    assert heavy_imports[dag] == []
