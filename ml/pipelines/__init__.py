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
from ml.what_if import current_what_if

log = logging.getLogger(__name__)

PREFIX = "RETRAIN_"
SEPARATOR = "__"


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
        pipeline = Pipeline(**{**settings, "name": name, "folder": folder})
    except ValidationError as error:
        lines = [_sentence(detail) for detail in error.errors()]
        raise _invalid(path, lines) from error
    _check_against_schema(pipeline, path)
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
        settings = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise Misconfigured(f"{path} could not be read as YAML: {error}. Mend the file.") from error
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
            own.append((keys[1:], text))
        elif keys[0] not in pipeline_names():
            general.append((keys, text))
    for keys, text in [*general, *own]:
        settings = _with(settings, keys, yaml.safe_load(text))
    what_if = current_what_if()
    for setting, value in what_if.settings.items() if what_if else ():
        settings = _with(settings, setting.split("."), value)
    return settings


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


def _check_against_schema(pipeline: Pipeline, path: Path) -> None:
    columns = pipeline.read_schema().columns
    lines = [
        f"  {key}: expected a feature of {pipeline.schema_path.name}, found {name!r}. The schema has: "
        f"{', '.join(columns)}."
        for key, name in _mentions(pipeline)
        if name not in columns
    ]
    lines += [
        f"  {part}.{name}: expected {expected} in schema.pbtxt, found {columns[name]}."
        for part, name, expected in _typed_features(pipeline)
        if name in columns and columns[name] not in expected
    ]
    lines += [
        f"  drift.thresholds.{name}: expected a threshold in bits, found none. "
        "Add it, or name the feature in drift.ignored."
        for name in pipeline.features.names
        if name not in pipeline.drift.thresholds and name not in pipeline.drift.ignored
    ]
    lines += [
        f"  serving.canary.realised.inputs: expected a feature, which requests have, found {name!r}."
        for name in sorted({*_realised_inputs(pipeline)} - {*pipeline.features.names})
    ]
    if lines:
        raise _invalid(path, lines)


def _mentions(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    yield "label", pipeline.label
    yield "landing.event_time", pipeline.landing.event_time
    if pipeline.landing.deduplicate:
        yield "landing.deduplicate", pipeline.landing.deduplicate
    yield from ((part, name) for part, name, _ in _realised_key(pipeline))
    yield from (("features.categorical", name) for name in pipeline.features.categorical)
    yield from (("features.numeric", name) for name in pipeline.features.numeric)
    yield from (("drift.thresholds", name) for name in pipeline.drift.thresholds)
    yield from (("drift.ignored", name) for name in pipeline.drift.ignored)
    yield from (("validation.features", name) for name in pipeline.validation.features)
    for slice_ in pipeline.slices:
        yield from (("slices", name) for name in ([slice_.by] if slice_.by else slice_.where))


def _typed_features(pipeline: Pipeline) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    if pipeline.landing.deduplicate:
        yield "landing.deduplicate", pipeline.landing.deduplicate, ("string", "int")
    yield from _realised_key(pipeline)
    yield from (("features.categorical", name, ("string", "int")) for name in pipeline.features.categorical)
    yield from (("features.numeric", name, ("int", "float")) for name in pipeline.features.numeric)


def _realised_inputs(pipeline: Pipeline) -> tuple[str, ...]:
    canary = pipeline.serving.canary
    return canary.realised.inputs if canary and canary.realised else ()


def _realised_key(pipeline: Pipeline) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """What an event is found by that came of an answer. A float is spelt in too many ways."""
    canary = pipeline.serving.canary
    for name in canary.realised.key if canary and canary.realised else ():
        yield "serving.canary.realised", name, ("string", "int")
