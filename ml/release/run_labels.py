"""A night's parameters and tags in MLflow: what it was made with, and what it came to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ml.artifact import Window
from ml.code_version import code_version
from ml.config import Pipeline
from ml.release.findings import Findings
from ml.what_if import WhatIf

MAX_PARAM, MAX_TAG = 6000, 8000
RUN_KEY = "retraining.run_key"
KIND, NIGHT, WHAT_IF, BACKFILL = "retraining.kind", "night", "what-if", "backfill"
WHAT_IF_NAME, WHAT_IF_SETTINGS = "retraining.what_if", "retraining.what_if.settings"
PARAM_DEPTH = 3
CUT = " … (cut)"


def params_of(pipeline: Pipeline, window: Window, findings: Findings) -> dict[str, str]:
    """Settings by their path in ``pipeline.yaml``, the day's window and the days that were learned from."""
    days = findings.contents.get("training_window", {}).get("days", [])
    values = {
        **dict(_flat(pipeline.model_dump(mode="json"), "", PARAM_DEPTH)),
        "window.start": window.start.isoformat(),
        "window.end": window.end.isoformat(),
        "window.days": ", ".join(day["day"] for day in days if day["examples"]),
        "window.left_out": ", ".join(f"{day['day']} ({day['left_out']})" for day in days if day["left_out"]),
    }
    return {name: shorten(value, MAX_PARAM) for name, value in values.items()}


def tags_of(pipeline: Pipeline, window: Window, findings: Findings) -> dict[str, str]:
    """Verdict, reasons, versions, digests and code; only what is known."""
    blessing = findings.contents.get("blessing", {})
    production = findings.contents.get("production", {})
    values = {
        "pipeline": pipeline.name,
        "day": pipeline.name_of(window),
        "watermark": window.end.isoformat(),
        "verdict": blessing.get("verdict"),
        "reasons": "; ".join(blessing.get("reasons", [])),
        "retraining.caveats": "; ".join(findings.caveats),
        "drifted": ", ".join(findings.contents.get("drift_report", {}).get("drifted", [])),
        "production.version": production.get("version"),
        "serving.version": findings.contents.get("pushed_model", {}).get("version"),
        "weights.digest": findings.facts("model").get("weights_digest"),
        **{f"digest.{kind}": artifact["digest"] for kind, artifact in findings.artifacts.items()},
        **_code_tags(code_of(findings)),
        "mlflow.runName": pipeline.name_of(window),
        "mlflow.user": pipeline.owner,
    }
    return {name: shorten(str(value), MAX_TAG) for name, value in values.items() if value not in (None, "")}


def what_if_tags(pipeline: Pipeline, window: Window, what_if: WhatIf | None) -> dict[str, str]:
    """What tells a try of something else from a night of the loop."""
    if what_if is None:
        return {KIND: NIGHT}
    return {
        KIND: WHAT_IF,
        WHAT_IF_NAME: what_if.name,
        WHAT_IF_SETTINGS: shorten(json.dumps(dict(what_if.settings), ensure_ascii=False), MAX_TAG),
        "mlflow.runName": f"{pipeline.name_of(window)} what-if {what_if.name}",
    }


def run_key_of(key: str, what_if: str) -> str:
    """The key of a night's MLflow run. A what-if of the same DAG run has another one, and so another run."""
    if "'" in key:
        raise ValueError(f"expected a run key without an apostrophe, got {key}")
    return f"{key}/what-if/{what_if}" if what_if else key


def shorten(text: str, limit: int) -> str:
    """The text, cut to MLflow's limit with a mark that says so."""
    return text if len(text) <= limit else text[: limit - len(CUT)] + CUT


def code_of(findings: Findings) -> dict[str, Any]:
    """The code that reached the verdict, or as far as the night came: logging it again later is no change.

    Returns:
        As `ml.code_version.code_version` does.
    """
    verdict = findings.manifests.get("blessing")
    return verdict.code if verdict else code_version()


def _code_tags(code: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "git.commit": code["commit"],
        "git.dirty": None if code["dirty"] is None else str(code["dirty"]).lower(),
        "mlflow.source.git.commit": code["commit"],
    }


def _flat(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and depth:
        for name, part in value.items():
            yield from _flat(part, f"{path}.{name}" if path else name, depth - 1)
    else:
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
