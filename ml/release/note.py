"""The night in words: the Markdown note at the top of its MLflow run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml.artifact import Window
from ml.config import Pipeline
from ml.release.findings import Findings
from ml.release.run_labels import MAX_TAG, shorten
from ml.release.tries import Try
from ml.what_if import WhatIf

METRICS = ("auc", "pr_auc", "log_loss", "calibration")
MOST_SLICES = 20
NOTHING = "none"
SHORT = 12
DRIFTED = {True: "**yes**", False: "no", None: "cannot tell"}


def note_of(
    pipeline: Pipeline,
    window: Window,
    findings: Findings,
    tries: Sequence[Try] = (),
    what_if: WhatIf | None = None,
) -> str:
    """Verdict and reasons first, then the tries if there were several, then the numbers of the last one."""
    parts = [
        *_what_if(what_if),
        *_verdict(pipeline, window, findings.contents.get("blessing")),
        *_caveats(findings.caveats),
        *_tries(pipeline.gate.metric, tries),
        *_metrics(findings.contents.get("evaluation")),
        *_slices(pipeline.gate.metric, findings.contents.get("evaluation")),
        *_drift(findings.contents.get("drift_report")),
        *_anomalies(findings.contents.get("anomalies")),
        *_data(findings),
    ]
    return shorten("\n".join(parts), MAX_TAG)


def _verdict(pipeline: Pipeline, window: Window, blessing: Mapping[str, Any] | None) -> Iterator[str]:
    day = pipeline.name_of(window)
    if blessing is None:
        yield f"## {day}: no verdict\nThe night did not come to the gate, so serving stays as it was.\n"
        return
    outcome = "may be published" if blessing["publish"] else "serving stays as it was"
    yield f"## {day}: {blessing['verdict']}, {outcome}\n"
    yield from (f"- {reason}" for reason in blessing["reasons"])
    if blessing.get("findings"):
        yield "\nAlso found:\n"
        yield from (f"- {finding}" for finding in blessing["findings"])
    against = blessing.get("judged_against")
    yield f"\nJudged against {f'version {against}' if against else 'no version: nothing was served yet'}.\n"


def _caveats(caveats: Sequence[str]) -> Iterator[str]:
    if caveats:
        yield "Accepted by a person:\n"
        yield from (f"- {caveat}" for caveat in caveats)
        yield ""


def _what_if(what_if: WhatIf | None) -> Iterator[str]:
    if what_if is None:
        return
    changed = ", ".join(f"`{path}` = {json.dumps(value)}" for path, value in what_if.settings.items())
    yield f"# What-if {what_if.name}\n"
    yield f"A try with {changed or 'other code'}. Nothing is published, whatever the verdict.\n"


def _tries(metric: str, tries: Sequence[Try]) -> Iterator[str]:
    if len(tries) < 2:
        return
    yield f"### {len(tries)} tries, and this is the last\n"
    head = [
        "try",
        "logged",
        "code",
        "verdict",
        f"candidate {metric}",
        f"gain {metric}",
        "served as",
        "blessing",
    ]
    yield from table(head, [_try_row(metric, each) for each in tries])


def _try_row(metric: str, each: Try) -> list[str]:
    value, gain = (each["metrics"].get(f"{side}.{metric}") for side in ("candidate", "gain"))
    return [
        str(each["try"]),
        each["logged_at"],
        (each["commit"] or "unknown")[:SHORT] + (" and changes" if each["dirty"] else ""),
        each["verdict"] or "no verdict",
        NOTHING if value is None else f"{value:.4f}",
        NOTHING if gain is None else f"{gain:+.2%}",
        str(each["served_as"] or "not published"),
        each["artifacts"].get("blessing", {}).get("digest", NOTHING)[:SHORT],
    ]


def _metrics(evaluation: Mapping[str, Any] | None) -> Iterator[str]:
    if evaluation is None:
        return
    overall = evaluation["overall"]
    yield f"### {evaluation['rows']:,} held-out rows, {evaluation['positives']:,} of them positive\n"
    rows = [
        [
            metric,
            _interval(overall["candidate"], metric),
            _interval(overall["production"], metric),
            _gain(overall["gain"], metric),
        ]
        for metric in METRICS
    ]
    yield from table(["metric", "candidate", "production", "relative gain"], rows)


def _slices(metric: str, evaluation: Mapping[str, Any] | None) -> Iterator[str]:
    if not evaluation or not evaluation["slices"]:
        return
    largest = sorted(evaluation["slices"].items(), key=lambda item: -item[1]["rows"])[:MOST_SLICES]
    shown = "" if len(largest) == len(evaluation["slices"]) else f", the {len(largest)} largest"
    yield f"### {metric} by slice{shown}\n"
    rows = [
        [
            name,
            f"{section['rows']:,}",
            _interval(section["candidate"], metric),
            _interval(section["production"], metric),
            _gain(section["gain"], metric),
        ]
        for name, section in largest
    ]
    yield from table(["slice", "rows", "candidate", "production", "relative gain"], rows)


def _drift(report: Mapping[str, Any] | None) -> Iterator[str]:
    measured = [
        feature for feature in (report or {}).get("features", []) if feature["divergence_bits"] is not None
    ]
    if not measured:
        return
    measured.sort(key=lambda feature: -feature["divergence_bits"])
    yield "### Drift from production's baseline, in bits\n"
    rows = [
        [
            feature["feature"],
            f"{feature['divergence_bits']:.4f}",
            NOTHING if feature["threshold_bits"] is None else f"{feature['threshold_bits']:.4f}",
            DRIFTED[feature["drifted"]],
        ]
        for feature in measured
    ]
    yield from table(["feature", "divergence", "threshold", "drifted"], rows)


def _anomalies(anomalies: Mapping[str, Any] | None) -> Iterator[str]:
    if not anomalies or not anomalies["findings"]:
        return
    yield "### Anomalies\n"
    for finding in anomalies["findings"]:
        yield f"- {finding['severity']}: `{finding['feature']}` {finding['description']}"
    yield ""


def _data(findings: Findings) -> Iterator[str]:
    facts = findings.facts("examples")
    if not facts:
        return
    rejected = sum((facts.get("rejected") or {}).values())
    yield f"### Data\n\n{facts['accepted']:,} records accepted, {rejected:,} rejected.\n"
    if any(findings.late_by_day.values()):
        late = ", ".join(f"{count:,} of {day}" for day, count in findings.late_by_day.items() if count)
        yield f"Events of earlier days that have come since those were landed: {late}.\n"
    for day in findings.contents.get("training_window", {}).get("days", []):
        yield f"- {day['day']}: {'left out, ' + day['left_out'] if day['left_out'] else 'learned from'}"


def _interval(metrics: Mapping[str, Any] | None, metric: str) -> str:
    if not metrics or metric not in metrics:
        return NOTHING
    interval = metrics[metric]
    return f"{interval['value']:.4f} ({interval['low']:.4f} to {interval['high']:.4f})"


def _gain(gains: Mapping[str, Any] | None, metric: str) -> str:
    if not gains or metric not in gains:
        return NOTHING
    gain = gains[metric]
    return f"{gain['relative']:+.2%} ({gain['low']:+.2%} to {gain['high']:+.2%})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""
