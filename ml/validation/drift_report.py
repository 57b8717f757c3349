"""What ``drift_report.json`` holds, and how a feature's entry comes about."""

from __future__ import annotations

from typing import Literal, TypedDict

import numpy as np

from ml.validation.cells import MISSING, RARE, Cells, pool_rare
from ml.validation.divergence import Divergence, measure_divergence
from ml.validation.words import percent

Kind = Literal["categorical", "numeric"]
SHOWN_MOVERS = 5
DESCRIBED_MOVERS = 3
DIGITS = 6
MOST_RARE = 0.5


class Mover(TypedDict):
    """A cell whose share of the rows changed."""

    cell: str
    baseline_share: float
    today_share: float


class FeatureDrift(TypedDict):
    """One feature's entry.

    Keys:
        feature: its name.
        kind: ``categorical`` is compared value by value, ``numeric`` by intervals.
        threshold_bits: how much divergence the pipeline allows.
        drifted: whether there is more; None if that cannot be told.
        reason: why it cannot be told, or None.
        rows: today's, missing values included.
        baseline_rows: the baseline's.
        cells: how many cells were compared, after rare values were put together.
        kl_bits: Kullback-Leibler divergence of today from the baseline, as measured.
        bias_bits: what samples of these sizes from one distribution average.
        noise_bits: how much more than that they reach once in a thousand times.
        divergence_bits: ``kl_bits - bias_bits``, not below 0; this is held against the threshold.
        jsd_bits: Jensen-Shannon divergence, between 0 and 1; nothing is taken off.
        missing: share of the rows without a value.
        rare: share of the rows with values too rare to compare one by one.
        movers: the cells whose shares changed most.

    All numbers are None where nothing could be compared.
    """

    feature: str
    kind: Kind
    threshold_bits: float
    drifted: bool | None
    reason: str | None
    rows: int
    baseline_rows: int
    cells: int | None
    kl_bits: float | None
    bias_bits: float | None
    noise_bits: float | None
    divergence_bits: float | None
    jsd_bits: float | None
    missing: dict[str, float] | None
    rare: dict[str, float] | None
    movers: list[Mover]


class DriftReport(TypedDict):
    """The whole report.

    Keys:
        baseline: how many days and rows production was trained on; none of either without production.
        rows: today's.
        reason: why nothing was compared, or None.
        features: an entry for every feature with a threshold, sorted by name.
        drifted: the names of those that drifted.
        undecided: the names of those of which that cannot be told.
        ignored: features that the pipeline expects to move.
    """

    baseline: dict[str, int]
    rows: int
    reason: str | None
    features: list[FeatureDrift]
    drifted: list[str]
    undecided: list[str]
    ignored: list[str]


class Question(TypedDict):
    """What is asked of one feature; the first keys of its entry."""

    feature: str
    kind: Kind
    threshold_bits: float
    rows: int
    baseline_rows: int


def compared(question: Question, cells: Cells, min_rows: int) -> FeatureDrift:
    """The entry of a feature that could be compared.

    Args:
        question: what is asked.
        cells: the rows of both samples by cell, rare ones still apart.
        min_rows: with fewer rows on either side the entry says that it cannot tell.
    """
    pooled = pool_rare(cells)
    found, threshold = measure_divergence(pooled), question["threshold_bits"]
    rare = _shares_of(RARE, pooled)
    doubt = _too_few(question, min_rows) or _too_noisy(found, threshold) or _too_rare(found, threshold, rare)
    return FeatureDrift(
        **question,
        drifted=None if doubt else found.divergence_bits > threshold,
        reason=doubt,
        cells=found.cells,
        kl_bits=round(found.kl_bits, DIGITS),
        bias_bits=round(found.bias_bits, DIGITS),
        noise_bits=round(found.noise_bits, DIGITS),
        divergence_bits=round(found.divergence_bits, DIGITS),
        jsd_bits=round(found.jsd_bits, DIGITS),
        missing=_shares_of(MISSING, cells),
        rare=rare,
        movers=movers_of(pooled),
    )


def not_compared(question: Question, reason: str) -> FeatureDrift:
    """The entry of a feature for which there is nothing to compare: a finding, never a pass."""
    return FeatureDrift(
        **question,
        drifted=None,
        reason=reason,
        cells=None,
        kl_bits=None,
        bias_bits=None,
        noise_bits=None,
        divergence_bits=None,
        jsd_bits=None,
        missing=None,
        rare=None,
        movers=[],
    )


def describe(entry: FeatureDrift) -> str:
    """A sentence for a person."""
    if entry["drifted"] is None:
        return f"{entry['feature']}: cannot tell whether it drifted, because {entry['reason']}"
    side = "over" if entry["drifted"] else "within"
    bits = f"{entry['divergence_bits']:.3f} bits, {side} its threshold of {entry['threshold_bits']:g}"
    moved = "; ".join(describe_mover(mover) for mover in entry["movers"][:DESCRIBED_MOVERS])
    return f"{entry['feature']}: {bits}; {moved or 'no share changed'}"


def describe_mover(mover: Mover) -> str:
    """A cell's shares of the rows, before and now."""
    return f"{mover['cell']} {percent(mover['baseline_share'], 3)} → {percent(mover['today_share'], 3)}"


def _too_few(question: Question, min_rows: int) -> str | None:
    if min(question["rows"], question["baseline_rows"]) >= min_rows:
        return None
    return (
        f"it takes {min_rows:,} rows on both sides (drift.min_rows); today has {question['rows']:,} and the "
        f"baseline {question['baseline_rows']:,}"
    )


def _too_noisy(found: Divergence, threshold: float) -> str | None:
    if found.noise_bits <= threshold or found.divergence_bits > found.noise_bits:
        return None
    return (
        f"chance alone reaches {found.noise_bits:.3f} bits with so few rows in {found.cells:,} cells, and "
        f"{threshold:g} are allowed; raise the threshold or gather more rows"
    )


def _too_rare(found: Divergence, threshold: float, rare: dict[str, float]) -> str | None:
    if min(rare.values()) <= MOST_RARE or found.divergence_bits > threshold:
        return None
    return (
        f"{percent(min(rare.values()), 3)} of the rows have values too rare to compare; gather more rows, or "
        "name the feature in drift.ignored"
    )


def _shares_of(name: str, cells: Cells) -> dict[str, float]:
    shares = [
        float(share[cells.names.index(name)]) if name in cells.names else 0.0 for share in cells.shares()
    ]
    return {"today": round(shares[0], DIGITS), "baseline": round(shares[1], DIGITS)}


def movers_of(cells: Cells) -> list[Mover]:
    """The cells whose shares of the rows changed most, the greatest change first."""
    today, baseline = cells.shares()
    most = np.argsort(-np.abs(today - baseline), kind="stable")[:SHOWN_MOVERS]
    return [
        Mover(
            cell=cells.names[at],
            baseline_share=round(float(baseline[at]), DIGITS),
            today_share=round(float(today[at]), DIGITS),
        )
        for at in most
        if today[at] != baseline[at]
    ]
