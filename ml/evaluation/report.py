"""From labels and scores to the numbers of ``evaluation.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.artifact import Window
from ml.evaluation.estimate import Estimate
from ml.evaluation.layout import Evaluation, Gain, Interval, Section
from ml.evaluation.metrics import LEAST_OF_A_CLASS, METRICS
from ml.evaluation.paired import compare
from ml.evaluation.ranking import Labels, Ranking, Scores
from ml.evaluation.slices import Partition

Estimates = dict[str, Estimate]


@dataclass(frozen=True, eq=False)
class Scored:
    """The held-out rows with both models' scores.

    Attributes:
        labels: bool [rows].
        candidate: float [rows], probabilities.
        production: the same of the version that is serving, or None if there is none.
        partitions: the same rows cut by the configured slices.
    """

    labels: Labels
    candidate: Scores
    production: Scores | None
    partitions: Sequence[Partition] = ()


@dataclass(frozen=True, eq=False)
class _Pair:
    candidate: Ranking
    production: Ranking | None

    def split(self, part: Partition) -> list[_Pair]:
        count = len(part.slices) + 1
        candidates = self.candidate.split(part.codes, count)
        productions = self.production.split(part.codes, count) if self.production else [None] * count
        return [_Pair(*rankings) for rankings in zip(candidates, productions, strict=True)]


def measure(scored: Scored, holdout: Window, confidence: float) -> Evaluation:
    """Measure both models and what the candidate gains, overall and by slice. Nothing is judged here.

    A model that gave something else than a probability to any row is not measured, and the reason says so.

    Args:
        scored: the rows.
        holdout: the window that they are from.
        confidence: of all the intervals and tests, in (0, 1).
    """
    rows, positives = len(scored.labels), int(np.count_nonzero(scored.labels))
    unfit = _unfit("candidate", scored.candidate)
    pair = None if unfit else _rank(scored)
    reason = unfit or _unfit("production", scored.production)
    return Evaluation(
        holdout=holdout.as_json(),
        confidence=confidence,
        rows=rows,
        positives=positives,
        overall=_section(pair, confidence, reason) if pair else _unknown(rows, positives, reason),
        slices=_slices(pair, scored.partitions, confidence, reason) if pair else {},
    )


def _unfit(model: str, scores: Scores | None) -> str | None:
    if scores is None:
        return None
    count = int(np.count_nonzero(~((scores >= 0) & (scores <= 1))))
    return f"{model} gave {count:,} of {len(scores):,} rows a score that is no probability" if count else None


def _rank(scored: Scored) -> _Pair:
    candidate = Ranking.of(scored.labels, scored.candidate)
    if scored.production is None or _unfit("production", scored.production):
        return _Pair(candidate, None)
    return _Pair(candidate, Ranking.of(scored.labels, scored.production))


def _slices(
    pair: _Pair, partitions: Sequence[Partition], confidence: float, reason: str | None
) -> dict[str, Section]:
    return {
        name: _section(part_pair, confidence, reason)
        for part in partitions
        for name, part_pair in zip(part.slices, pair.split(part)[1:], strict=True)
    }


def _section(pair: _Pair, confidence: float, reason: str | None) -> Section:
    rows, positives = len(pair.candidate.labels), pair.candidate.positives
    if min(positives, rows - positives) < LEAST_OF_A_CLASS:
        few = (
            f"{positives:,} of {rows:,} rows are positive, where {LEAST_OF_A_CLASS} of each label are needed"
        )
        return _unknown(rows, positives, few)
    candidate = _estimates(pair.candidate)
    production = _estimates(pair.production) if pair.production else None
    return Section(
        rows=rows,
        positives=positives,
        reason=reason,
        candidate=_intervals(candidate, confidence),
        production=_intervals(production, confidence) if production else None,
        gain=_gains(candidate, production, confidence) if production else None,
    )


def _unknown(rows: int, positives: int, reason: str | None) -> Section:
    return Section(rows=rows, positives=positives, reason=reason, candidate=None, production=None, gain=None)


def _estimates(ranking: Ranking) -> Estimates:
    return {name: metric.estimate(ranking) for name, metric in METRICS.items()}


def _intervals(estimates: Estimates, confidence: float) -> dict[str, Interval]:
    intervals = {}
    for name, estimate in estimates.items():
        low, high = estimate.interval(confidence, METRICS[name].scale)
        intervals[name] = Interval(value=estimate.value, low=low, high=high)
    return intervals


def _gains(candidate: Estimates, production: Estimates, confidence: float) -> dict[str, Gain]:
    gains = {
        name: compare(candidate[name], production[name], confidence, metric.lower_is_better)
        for name, metric in METRICS.items()
        if metric.compared
    }
    return {name: gain for name, gain in gains.items() if gain is not None}
