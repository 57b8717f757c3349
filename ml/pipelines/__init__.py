"""Finding and reading pipeline folders. A second model is a second folder, never a code change.

A folder holds ``pipeline.yaml`` and ``schema.pbtxt``. Folders lie here, and below the directories that
``RETRAIN_PIPELINES`` names (separated by ``:``). What differs between machines can be overridden by
the environment, section and key joined by two underscores: ``RETRAIN_TRAINING__WORKERS=2`` for every
pipeline, ``RETRAIN_CLICKS__TRAINING__WORKERS=2`` for one, which is stronger. Values are read as YAML.
The settings of a what-if are stronger than both.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ml.config import Pipeline
from ml.errors import Misconfigured
from ml.pipelines.checks import find_contradictions
from ml.what_if import current_what_if

log = logging.getLogger(__name__)

PREFIX = "RETRAIN_"
SEPARATOR = "__"

# Bytes that are no UTF-8 and dates such as 2026-02-30 are ValueErrors.
UNREADABLE = (OSError, ValueError, yaml.YAMLError)


def pipeline_names() -> list[str]:
    """The names of all pipeline folders, sorted."""
    return sorted(folder.name for folder in _folders())


def load_valid_pipelines() -> list[Pipeline]:
    """Every pipeline that can be read, so that a broken folder takes no other pipeline's night away."""
    pipelines = []
    for name in pipeline_names():
        try:
            pipelines.append(load_pipeline(name))
        except Misconfigured as error:
            log.error("the pipeline %s is left out: %s", name, error)
    return pipelines


def load_pipeline(name: str) -> Pipeline:
    """Read and check one pipeline's settings.

    Raises:
        Misconfigured: naming the file, every wrong key, what was expected and what was found.
    """
    folder = _folder(name)
    path = folder / "pipeline.yaml"
    settings = _override(_read_yaml(path), name)
    try:
        pipeline = Pipeline.model_validate({**settings, "name": name, "folder": folder})
    except ValidationError as error:
        lines = [_sentence(detail) for detail in error.errors()]
        raise _invalid(path, lines) from error
    if lines := find_contradictions(pipeline):
        raise _invalid(path, lines)
    return pipeline


def _directories() -> list[Path]:
    more = os.environ.get(f"{PREFIX}PIPELINES", "")
    return [Path(__file__).parent, *(Path(part) for part in more.split(os.pathsep) if part)]


def _folders() -> Iterator[Path]:
    for directory in _directories():
        yield from (path.parent for path in directory.glob("*/pipeline.yaml"))


def _folder(name: str) -> Path:
    for folder in _folders():
        if folder.name == name:
            return folder
    raise Misconfigured(
        f"there is no pipeline {name!r}; expected one of {', '.join(pipeline_names())}. "
        f"Looked for */pipeline.yaml below {', '.join(map(str, _directories()))}."
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UNREADABLE as error:
        raise Misconfigured(
            f"{path} could not be read as YAML: {error}. Expected YAML in UTF-8. Mend the file."
        ) from error
    if not isinstance(settings, dict):
        raise Misconfigured(
            f"{path} holds {type(settings).__name__}; expected sections such as landing and gate."
        )
    return settings


def _override(settings: dict[str, Any], name: str) -> dict[str, Any]:
    general, own = [], []
    for variable, text in sorted(os.environ.items()):
        if not variable.startswith(PREFIX) or SEPARATOR not in variable:
            continue
        keys = variable.removeprefix(PREFIX).lower().split(SEPARATOR)
        if keys[0] == name:
            own.append((keys[1:], _read_override(variable, text)))
        elif keys[0] not in pipeline_names():
            general.append((keys, _read_override(variable, text)))
    for keys, value in [*general, *own]:
        settings = _with(settings, keys, value)
    what_if = current_what_if()
    for setting, value in what_if.settings.items() if what_if else ():
        settings = _with(settings, setting.split("."), value)
    return settings


def _read_override(variable: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except UNREADABLE as error:
        raise Misconfigured(
            f"the environment variable {variable} could not be read as YAML: {error}. Expected a value as "
            "pipeline.yaml would hold it. Correct or unset the variable."
        ) from error


def _with(settings: Mapping[str, Any], keys: list[str], value: Any) -> dict[str, Any]:
    first, *rest = keys
    if not rest:
        return {**settings, first: value}
    section = settings.get(first, {})
    return {**settings, first: _with(section if isinstance(section, dict) else {}, rest, value)}


def _invalid(path: Path, lines: list[str]) -> Misconfigured:
    what_if = current_what_if()
    with_what = f", with the settings of the what-if {what_if.name}," if what_if else ""
    return Misconfigured("\n".join([f"{path}{with_what} is not a valid pipeline:", *lines]))


def _sentence(detail: ErrorDetails) -> str:
    key = ".".join(str(part) for part in detail["loc"]) or "(the whole file)"
    if detail["type"] == "extra_forbidden":
        return f"  {key}: expected no such key, found {detail['input']!r}. Misspelt, or in the wrong section?"
    if detail["type"] == "missing":
        return f"  {key}: expected a value, found none. Add it."
    found = "" if detail["type"] == "value_error" else f", found {detail['input']!r}"
    return f"  {key}: {detail['msg'].removeprefix('Value error, ')}{found}."
