"""Plots of a night. Colours are Okabe and Ito's, which colour-blind readers can tell apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ml.config import Pipeline
from ml.release.findings import Findings

BLUE, ORANGE, RED, GREY = "#0072B2", "#E69F00", "#D55E00", "#777777"
SIDES = (("candidate", BLUE, "-"), ("production", ORANGE, "--"))
DRIFTED = {True: (RED, "//"), False: (BLUE, ""), None: (GREY, "..")}
REVISION = 1
CURVE_POINTS = 400
BINS = 10
MOST_SLICES = 30
Z_95 = 1.96

Floats = np.ndarray[Any, np.dtype[np.float64]]


def draw_plots(pipeline: Pipeline, findings: Findings, directory: Path) -> list[Path]:
    """Draw what there are findings for, as PNG files.

    Returns:
        The files: of ``roc``, ``calibration``, ``gain_by_slice`` and ``drift``.
    """
    evaluation, report = findings.contents.get("evaluation"), findings.contents.get("drift_report")
    drawn: dict[str, Figure] = {}
    if evaluation:
        scores = _read_scores(findings.directories["evaluation"] / "scores.parquet")
        drawn["roc"] = _one_plot(lambda axes: _roc(axes, scores))
        drawn["calibration"] = _one_plot(lambda axes: _calibration(axes, scores))
    if evaluation and evaluation["overall"]["gain"]:
        drawn["gain_by_slice"] = _gains(pipeline, evaluation)
    if report and any(feature["divergence_bits"] is not None for feature in report["features"]):
        drawn["drift"] = _drift(report)
    for name, figure in drawn.items():
        figure.savefig(directory / f"{name}.png", dpi=120)
    return [directory / f"{name}.png" for name in drawn]


def roc_curve(labels: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates by falling threshold, from (0, 0) to (1, 1); equal scores in one step."""
    order = np.argsort(-scores, kind="stable")
    last_of_equals = np.append(np.diff(scores[order]) != 0, True)
    positives = np.cumsum(labels[order])[last_of_equals]
    negatives = np.cumsum(1 - labels[order])[last_of_equals]
    rates = [counts / max(counts[-1], 1) for counts in (negatives, positives)]
    return np.append(0.0, rates[0]), np.append(0.0, rates[1])


def calibration_bins(labels: Floats, scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Equally filled bins by score: mean prediction, share of positives, and its 95 % half-width (normal)."""
    parts = [part for part in np.array_split(np.argsort(scores, kind="stable"), BINS) if len(part)]
    predicted = np.array([scores[part].mean() for part in parts])
    actual = np.array([labels[part].mean() for part in parts])
    sizes = np.array([len(part) for part in parts])
    return predicted, actual, Z_95 * np.sqrt(actual * (1 - actual) / sizes)


def _read_scores(path: Path) -> dict[str, Floats]:
    table = pq.read_table(path, columns=["label", "candidate", "production"])
    columns = {name: table.column(name) for name in table.column_names}
    return {
        name: np.asarray(column.to_numpy(), np.float64)
        for name, column in columns.items()
        if column.null_count == 0
    }


def _one_plot(draw: Callable[[Axes], None]) -> Figure:
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    draw(axes)
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    return figure


def _roc(axes: Axes, scores: Mapping[str, Floats]) -> None:
    for side, colour, line in SIDES:
        if side in scores:
            false, true = roc_curve(scores["label"], scores[side])
            area = np.trapz(true, false)
            shown = np.linspace(0, len(false) - 1, CURVE_POINTS).astype(int)
            axes.plot(false[shown], true[shown], line, color=colour, label=f"{side}, AUC {area:.4f}")
    axes.plot([0, 1], [0, 1], ":", color=GREY, label="guessing, AUC 0.5")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC on the held-out rows")


def _calibration(axes: Axes, scores: Mapping[str, Floats]) -> None:
    for side, colour, line in SIDES:
        if side in scores:
            predicted, actual, half_width = calibration_bins(scores["label"], scores[side])
            axes.errorbar(predicted, actual, half_width, fmt=f"o{line}", color=colour, capsize=3, label=side)
    end = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([0, end], [0, end], ":", color=GREY, label="predicted = actual")
    axes.set(
        xlabel="mean predicted probability",
        ylabel="share of positives, with 95 % interval",
        title=f"Calibration on the held-out rows, {BINS} bins of equal size",
    )


def _gains(pipeline: Pipeline, evaluation: Mapping[str, Any]) -> Figure:
    gate = pipeline.gate
    largest = sorted(evaluation["slices"].items(), key=lambda item: -item[1]["rows"])
    sections = [("all rows", evaluation["overall"]), *largest[:MOST_SLICES]]
    rows = [
        (f"{name} ({section['rows']:,})", section["gain"][gate.metric])
        for name, section in sections
        if section["gain"] and gate.metric in section["gain"]
    ]
    figure = Figure(figsize=(8, 1.8 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, (_, gain) in enumerate(rows):
        colour = BLUE if place else RED
        axes.plot([100 * gain["low"], 100 * gain["high"]], [place, place], color=colour, linewidth=2)
        axes.plot(100 * gain["relative"], place, "o", color=colour)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.axvline(100 * gate.min_gain, color=RED, linestyle="--", linewidth=1, label="gain to be reached")
    axes.axvline(-100 * gate.slice_margin, color=ORANGE, linestyle=":", label="loss that a slice may have")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    _label_gains(axes, gate.metric, evaluation["confidence"], len(largest))
    return figure


def _label_gains(axes: Axes, metric: str, confidence: float, slices: int) -> None:
    shown = "" if slices <= MOST_SLICES else f", the {MOST_SLICES} largest of {slices} slices"
    axes.set(
        xlabel=f"relative gain in {metric} over production, %, with {confidence:.0%} interval",
        title=f"Gain by slice (held-out rows){shown}",
    )
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="best", fontsize="small")


def _drift(report: Mapping[str, Any]) -> Figure:
    measured = [feature for feature in report["features"] if feature["divergence_bits"] is not None]
    measured.sort(key=lambda feature: feature["divergence_bits"])
    figure = Figure(figsize=(8, 1.5 + 0.3 * len(measured)), layout="constrained")
    axes = figure.subplots()
    for place, feature in enumerate(measured):
        colour, hatch = DRIFTED[feature["drifted"]]
        axes.barh(place, feature["divergence_bits"], color=colour, hatch=hatch, edgecolor="white")
        if feature["threshold_bits"] is not None:
            axes.plot([feature["threshold_bits"]] * 2, [place - 0.45, place + 0.45], color="black")
    axes.set_yticks(range(len(measured)), [feature["feature"] for feature in measured])
    axes.set(
        xlabel="divergence from production's baseline, bits, sampling bias taken off",
        title="Drift by feature (black: threshold; hatched: drifted; dotted: cannot tell)",
    )
    axes.grid(axis="x", alpha=0.3)
    return figure
