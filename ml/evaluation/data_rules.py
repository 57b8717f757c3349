"""What the gate asks of the day's data: is it newer than production's, sound, and of the kind it knows?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ml.evaluation.verdict import Evidence, Rule

SHOWN = 5


def data_rules(thresholds: Mapping[str, float], evidence: Evidence) -> list[Rule]:
    """All rules on the data.

    Args:
        thresholds: bits of divergence by feature; each of these features must have been measured.
        evidence: see `Evidence`.
    """
    return [*_watermark(evidence), _anomalies(evidence.anomalies), *_drift(thresholds, evidence)]


def warnings(anomalies: dict[str, Any] | None) -> list[str]:
    """Anomalies that do not stop a run, in words."""
    return [_describe(finding) for finding in _findings(anomalies, "warn")]


def _watermark(evidence: Evidence) -> list[Rule]:
    production = evidence.production
    if production is None:
        reason = "it was not found out which version is serving"
        return [Rule("production", False, None, "the version that is serving", "FAIL", reason)]
    if production["version"] is None:
        return []
    served: str | None = production["watermark"]
    newer = served is not None and evidence.watermark > datetime.fromisoformat(served)
    expected = served and f"after {served}"
    return [
        Rule("watermark", newer, evidence.watermark.isoformat(), expected, "STALE", _age(evidence, served))
    ]


def _age(evidence: Evidence, served: str | None) -> str:
    version = f"version {evidence.served_version}, which is serving,"
    if served is None:
        return f"{version} has no watermark, so nothing can be shown to be newer than it"
    ends, served_end = _minute(evidence.watermark), _minute(datetime.fromisoformat(served))
    return (
        f"the candidate's data end {ends}, those of {version} {served_end}, and only newer data are published"
    )


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def _anomalies(anomalies: dict[str, Any] | None) -> Rule:
    expected = "no anomaly that stops the run"
    if anomalies is None:
        reason = "the examples were not held against the schema: validation did not finish"
        return Rule("anomalies", False, None, expected, "PAUSED", reason)
    stopping = _findings(anomalies, "stop")
    if not anomalies["stop"]:
        return Rule("anomalies", True, 0, expected, "PAUSED", "the examples keep to the schema")
    shown = ", ".join(_describe(finding) for finding in stopping[:SHOWN])
    more = f", and {len(stopping) - SHOWN} more" if len(stopping) > SHOWN else ""
    reason = f"anomalies stopped the run: {shown}{more}"
    return Rule("anomalies", False, len(stopping), expected, "PAUSED", reason)


def _findings(anomalies: dict[str, Any] | None, severity: str) -> list[dict[str, Any]]:
    return [finding for finding in (anomalies or {}).get("findings", []) if finding["severity"] == severity]


def _describe(finding: dict[str, Any]) -> str:
    return f"{finding['feature']}: {finding['description']}"


def _drift(thresholds: Mapping[str, float], evidence: Evidence) -> list[Rule]:
    """There is no drift without a production version: it has no baseline yet."""
    if evidence.served_version is None:
        return []
    report = evidence.drift_report
    missing = "the report is missing" if report is None else report["reason"]
    if report is None or missing:
        reason = f"drift was not measured: {missing}"
        return [Rule("drift", False, None, "a comparison with the baseline", "PAUSED", reason)]
    measured = {entry["feature"]: entry for entry in report["features"]}
    return [_feature(name, bits, measured.get(name)) for name, bits in sorted(thresholds.items())]


def _feature(name: str, threshold: float, entry: dict[str, Any] | None) -> Rule:
    expected = f"at most {threshold:g} bits"
    if entry is None or entry["drifted"] is None:
        why = entry["reason"] if entry else "the report does not have it"
        reason = f"it cannot be told whether {name} drifted: {why}"
        return Rule(f"drift.{name}", False, None, expected, "PAUSED", reason)
    bits = entry["divergence_bits"]
    away = f"{name} is {bits:.3f} bits away from production's baseline, where {threshold:g} are allowed"
    return Rule(
        f"drift.{name}", not entry["drifted"], bits, expected, "PAUSED", away + _mover(entry["movers"])
    )


def _mover(movers: Sequence[dict[str, Any]]) -> str:
    """The value whose share changed most."""
    if not movers:
        return ""
    most = movers[0]
    return (
        f" (most: {most['cell']}, from {most['baseline_share']:.1%} to {most['today_share']:.1%} of the rows)"
    )
