"""What ``realised.json`` holds: every trial of the day, measured by realised labels, and judged.

::

    {"day": "2026-03-10", "confidence": 0.95, "events": 90000, "repeated": 12, "unreadable": 0,
     "hours_without_a_file": [],
     "trials": [{"version": 20260309001, "stable": 20260308001, "since": …, "until": …,
                 "verdict": "CONFIRMED", "reasons": […],
                 "findings": [{"name": "clicks", "state": "fine", "sentence": …}, …],
                 "tracks": {"canary": {"version": 20260309001, "answers": 9000, "unmatched": 900,
                    "for_the_other": 0, "without_score": 0, "without_key": 0, "rows": 8100, "positives": 730,
                    "users": 5000, "mean_score": 0.091, "impossible": 0,
                    "metrics": {"positive_rate": {"value": 0.0901, "low": …, "high": …}, "calibration": …,
                                "log_loss": …, "auc": …} or null}, "stable": …}}]}
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pyarrow.compute as pc

from ml.evaluation.realised.judgement import Later, Side, judge
from ml.evaluation.realised.rows import Day, join
from ml.evaluation.realised.tracks import SCALES, Track, measure_tracks
from ml.store import Draft
from ml.trials import STABLE, TRACKS, TrialSpan

Counts = dict[str, dict[str, int]]

log = logging.getLogger(__name__)


def judge_realised(day: Day, predictions: dict[str, Any], draft: Draft) -> None:
    """Join a day's answers with its events, measure both tracks of every trial, and judge.

    Args:
        day: where the two sides are.
        predictions: ``predictions.json``, as landing wrote it.
        draft: gets ``realised.json``.

    Raises:
        DataRejected: if a label is neither 0 nor 1.
        Misconfigured: if the examples lack a column.
    """
    joined = join(day)
    found = []
    for number, trial in enumerate(predictions["trials"]):
        measured = measure_tracks(joined.rows.filter(pc.equal(joined.rows["trial"], number)))
        counts = predictions["counts"][number]
        sides = {track: Side(counts[track]["kept"], measured[track]) for track in TRACKS}
        judged = judge(sides, day.setting, day.pipeline.gate.floors)
        later = replace(judged, reasons=(*judged.reasons, *_gaps(predictions)))
        found.append(_trial(trial, later, sides, counts, day.setting.confidence))
    draft.write_json(
        {
            "day": day.pipeline.name_of(day.window),
            "confidence": day.setting.confidence,
            "events": joined.events,
            "repeated": joined.repeated,
            "unreadable": predictions["unreadable"],
            "hours_without_a_file": predictions["hours_without_a_file"],
            "trials": found,
        }
    )
    draft.facts.update(rows=joined.rows.num_rows, verdicts=[trial["verdict"] for trial in found])


def _gaps(predictions: dict[str, Any]) -> Iterator[str]:
    """What the router's record lacks, for whoever reads the verdict."""
    if hours := predictions["hours_without_a_file"]:
        yield f"the router's record has no file for {len(hours)} of the hours ({hours[0]} UTC is the first)"
    if unreadable := predictions["unreadable"]:
        yield f"{unreadable:,} lines of the router's record could not be read"


def _trial(
    trial: TrialSpan, later: Later, sides: dict[str, Side], counts: Counts, confidence: float
) -> dict[str, Any]:
    versions = {track: trial["stable"] if track == STABLE else trial["version"] for track in TRACKS}
    tracks = {track: _track(sides[track], counts[track], confidence) for track in TRACKS}
    log.info("%d beside %d: %s", trial["version"], trial["stable"], later.verdict)
    return {
        **trial,
        "verdict": later.verdict,
        "reasons": list(later.reasons),
        "findings": [asdict(finding) for finding in later.findings],
        "tracks": {track: {"version": versions[track], **tracks[track]} for track in TRACKS},
    }


def _track(side: Side, counts: dict[str, int], confidence: float) -> dict[str, Any]:
    measured, others = side.measured, {name: count for name, count in counts.items() if name != "kept"}
    return {
        "answers": side.answers,
        "unmatched": side.answers - measured.rows,
        **others,
        "rows": measured.rows,
        "positives": measured.positives,
        "users": measured.users,
        "mean_score": None if math.isnan(measured.mean_score) else measured.mean_score,
        "impossible": measured.impossible,
        "metrics": _metrics(measured, confidence),
    }


def _metrics(measured: Track, confidence: float) -> dict[str, Any] | None:
    found = {}
    for name, estimate in measured.estimates.items():
        low, high = estimate.interval(confidence, SCALES[name])
        found[name] = {"value": estimate.value, "low": low, "high": high}
    return found or None
