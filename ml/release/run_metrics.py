"""A night's findings as MLflow metrics. The names are a promise to analysts; docs/mlflow.md lists them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any, NamedTuple

from ml.manifest import STEP_OF
from ml.release.findings import Findings

FORBIDDEN = re.compile(r"[^\w.\-]")

Pairs = Iterator[tuple[str, Any]]


class Point(NamedTuple):
    """One point of a learning curve."""

    name: str
    step: int
    value: float


def metrics_of(findings: Findings) -> dict[str, float]:
    """Name → value of everything that has one value a night. What has no finite value is left out."""
    contents = findings.contents
    pairs = [
        *_landing(findings.known("examples")),
        *_late(findings.late_by_day),
        *_anomalies(contents.get("anomalies")),
        *_drift(contents.get("drift_report")),
        *_training(findings.facts("model")),
        *_evaluation(contents.get("evaluation")),
        *_measured(findings),
    ]
    return {metric_name(name): float(value) for name, value in pairs if _is_number(value)}


def curves_of(findings: Findings) -> list[Point]:
    """Learning curves: ``training.*`` by epoch, and ``curve.*`` by training step."""
    history = findings.contents.get("history") or {}
    epochs = [("training", epoch["epoch"], epoch) for epoch in history.get("epochs", [])]
    stretches = [("curve", stretch["step"], stretch) for stretch in history.get("curve", [])]
    return [
        Point(f"{prefix}.{name}", step, float(values[name]))
        for prefix, step, values in [*epochs, *stretches]
        for name in ("loss", "auc")
        if _is_number(values.get(name))
    ]


def metric_name(name: str) -> str:
    """The name with ``_`` for what MLflow does not take in a metric, and for what needs quoting there."""
    return FORBIDDEN.sub("_", name)


def _landing(known: Mapping[str, Any]) -> Pairs:
    for count in ("scanned", "accepted", "outside", "late", "duplicates"):
        yield f"examples.{count}", known.get(count)
    rejected = known.get("rejected")
    if rejected is not None:
        yield "examples.rejected", sum(rejected.values())
        yield from ((f"rejects.{reason}", count) for reason, count in rejected.items())


def _late(late_by_day: Mapping[str, int | None]) -> Pairs:
    for ago, day in enumerate(sorted(late_by_day, reverse=True), 1):
        yield f"landing.late_{ago}d_ago", late_by_day[day]


def _anomalies(anomalies: Mapping[str, Any] | None) -> Pairs:
    if anomalies is None:
        return
    severities = [finding["severity"] for finding in anomalies["findings"]]
    yield from ((f"anomalies.{severity}", severities.count(severity)) for severity in ("stop", "warn"))


def _drift(report: Mapping[str, Any] | None) -> Pairs:
    if report is None:
        return
    yield "drifted.features", len(report["drifted"])
    yield "undecided.features", len(report["undecided"])
    for feature in report["features"]:
        yield f"drift.{feature['feature']}", feature["divergence_bits"]
        yield f"jsd.{feature['feature']}", feature["jsd_bits"]


def _training(facts: Mapping[str, Any]) -> Pairs:
    yield from ((f"training.{count}", facts.get(count)) for count in ("examples", "positives", "steps"))


def _evaluation(evaluation: Mapping[str, Any] | None) -> Pairs:
    if evaluation is None:
        return
    yield "holdout.rows", evaluation["rows"]
    yield "holdout.positives", evaluation["positives"]
    yield from _section(evaluation["overall"])
    for name, section in evaluation["slices"].items():
        yield f"slice.{name}.rows", section["rows"]
        yield from ((f"slice.{name}.{metric}", value) for metric, value in _section(section))


def _section(section: Mapping[str, Any]) -> Pairs:
    for side in ("candidate", "production"):
        for metric, interval in (section[side] or {}).items():
            yield f"{side}.{metric}", interval["value"]
            yield f"{side}.{metric}.low", interval["low"]
            yield f"{side}.{metric}.high", interval["high"]
    for metric, gain in (section["gain"] or {}).items():
        yield f"gain.{metric}", gain["relative"]
        yield f"difference.{metric}", gain["absolute"]
        for detail in ("low", "high", "p_value", "detectable"):
            yield f"gain.{metric}.{detail}", gain[detail]


def _measured(findings: Findings) -> Pairs:
    for kind, manifest in findings.manifests.items():
        step = STEP_OF.get(kind, kind)
        yield from ((_measurement(step, name), value) for name, value in manifest.measurements.items())


def _measurement(step: str, name: str) -> str:
    if name == "seconds":
        return f"seconds.{step}"
    if name.endswith("_per_second"):
        return f"rate.{step}.{name.removesuffix('_per_second')}"
    if name.endswith("_seconds"):
        return f"seconds.{step}.{name.removesuffix('_seconds')}"
    return f"measured.{step}.{name}"


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)
