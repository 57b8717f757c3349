"""Rules of the house that a machine can check: sizes, names, layers, and what a step imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RANKS

ROOT = Path(__file__).parents[1]
PRODUCT = [path for folder in ("ml", "plugins", "dags") for path in sorted((ROOT / folder).rglob("*.py"))]
MAX_BODY, MAX_MODULE = 25, 250
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager"}
HEAVY = (
    "confluent_kafka",
    "grpc",
    "matplotlib",
    "mlflow",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "tensorflow",
    "tensorflow_data_validation",
    "tf_keras",
)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body and body[-1].end_lineno else 0


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_functions_are_short() -> None:
    long = [
        f"{relative(path)}:{function.lineno} {function.name} ({body_length(function)} lines)"
        for path in PRODUCT
        for function in functions(path)
        if body_length(function) > MAX_BODY
    ]

    assert long == []


def test_modules_are_short() -> None:
    lengths = {relative(path): len(path.read_text().splitlines()) for path in PRODUCT}

    assert [name for name, lines in lengths.items() if lines > MAX_MODULE] == []


def test_no_module_is_named_after_nothing() -> None:
    assert [relative(path) for path in PRODUCT if path.stem in FORBIDDEN_NAMES] == []


def test_dag_files_hold_no_functions() -> None:
    assert [relative(path) for path in (ROOT / "dags").glob("*.py") for _ in functions(path)] == []


@pytest.mark.parametrize("module", ["ml.steps", "ml.walk", "ml.pipelines"])
def test_the_steps_import_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(name for name in {HEAVY!r} if name in sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert answer.stdout.split() == []


@pytest.mark.parametrize("package", ["ml.landing"])
def test_landing_needs_no_tensorflow(package: str) -> None:
    code = f"import sys, {package}; print('tensorflow' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "False"


def test_nothing_names_a_path_of_a_machine_or_a_registry() -> None:
    pattern = re.compile(
        r"/work/|/root/(?!\.cache)|pypi\.org|files\.pythonhosted|repo1\.maven|repo\.maven\.apache|proxy\.golang"
    )
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = []
    for name in names.splitlines():
        path = ROOT / name
        if path.suffix in {".png"} or path == Path(__file__) or not path.is_file():
            continue
        found += [f"{name}: {hit.group()}" for hit in pattern.finditer(path.read_text(errors="replace"))]

    assert found == []


def test_every_decision_says_when_it_is_violated() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))

    assert decisions
    assert [path.name for path in decisions if "A change violates this when" not in path.read_text()] == []


def test_the_files_that_begin_first_are_there() -> None:
    assert [path for path in RANKS if not path.is_file()] == []
