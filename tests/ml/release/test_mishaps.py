"""The list of effects at which mishaps happen has all of them, by the code itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ml.release
from tests.ml.release.mishaps import EFFECTS

RELEASE = Path(ml.release.__file__).parent
# Not of a move: the models that a night logs, and the record of a rehearsal.
ELSEWHERE = {
    "ml.release.rehearsal.write_atomically",
    "mlflow.MlflowClient.create_model_version",
    "mlflow.MlflowClient.create_registered_model",
}
READING = ("get_", "search_")


def test_all_that_is_put_on_disk_is_in_the_list() -> None:
    found = {f"{module}.{name}" for module in modules() for name in imported(module, "ml.durable")}

    assert found - ELSEWHERE <= set(EFFECTS)


def test_all_that_the_registry_is_told_is_in_the_list() -> None:
    told = {f"mlflow.MlflowClient.{name}" for name in called(tree_of("ml.release.registry"), "_client")}

    assert {name for name in told - ELSEWHERE if not name.split(".")[-1].startswith(READING)} <= set(EFFECTS)


@pytest.mark.parametrize(
    "name", ["rmtree", "copytree", "rename", "truncate", "write_text", "write_bytes", "unlink"]
)
def test_files_are_changed_by_those_modules_only_whose_effects_are_in_the_list(name: str) -> None:
    changing = {module for module in modules() if name in called(tree_of(module))}

    assert changing <= {"ml.release.staging", "ml.release.chain", "ml.release.backfill.report"}


def modules() -> Iterator[str]:
    for path in sorted(RELEASE.rglob("*.py")):
        yield ".".join(["ml.release", *path.relative_to(RELEASE).with_suffix("").parts])


def tree_of(module: str) -> ast.Module:
    return ast.parse(RELEASE.joinpath(*module.split(".")[2:]).with_suffix(".py").read_text())


def imported(module: str, source: str) -> set[str]:
    """What a module imports from another one."""
    imports = (node for node in ast.walk(tree_of(module)) if isinstance(node, ast.ImportFrom))
    return {alias.name for node in imports if node.module == source for alias in node.names}


def called(tree: ast.Module, owner: str = "") -> set[str]:
    """The names of the methods that are called, of an attribute if it is named."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    methods = [call for call in calls if isinstance(call, ast.Attribute)]
    return {
        call.attr
        for call in methods
        if not owner or (isinstance(call.value, ast.Attribute) and call.value.attr == owner)
    }
