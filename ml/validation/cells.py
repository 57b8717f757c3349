"""Cutting a field's values into cells that two samples have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from ml.validation.counts import present_values
from ml.validation.histogram import Distribution, Floats

MISSING = "(missing)"
RARE = "(rare values)"
LEAST_EXPECTED = 10
LEAST_SEEN = 20


@dataclass(frozen=True)
class Cells:
    """The rows of two samples by cell.

    Attributes:
        names: one a cell.
        today: rows in each cell.
        baseline: rows in each cell.
    """

    names: tuple[str, ...]
    today: Floats
    baseline: Floats

    def shares(self) -> tuple[Floats, Floats]:
        """Each cell's share of the rows, today's and the baseline's."""
        return self.today / self.today.sum(), self.baseline / self.baseline.sum()


def numeric_cells(
    today: Distribution, baseline: Sequence[Distribution], rows: tuple[int, int], bins: int
) -> Cells:
    """Cut numbers into cells of about equal share of the baseline, and one for missing values.

    A value that fills a cell alone, such as a quantity of 1, has a cell of its own.

    Args:
        today: the distribution of today's numbers.
        baseline: those of the baseline's days.
        rows: today's and the baseline's, missing values included.
        bins: into how many cells the baseline is cut, if no value fills one alone.
    """
    edges = _edges(baseline, bins)
    ends = np.append(edges, np.inf)
    names = (*_interval_names(edges), MISSING)
    return Cells(names, _cut(today.up_to(ends), rows[0]), _cut(_up_to(baseline, ends), rows[1]))


def categorical_cells(today: pa.Table, baseline: Sequence[pa.Table]) -> Cells:
    """A cell for every value that either sample has, and one for missing values.

    Args:
        today: ``value`` and ``count`` of today, see `ml.validation.counts.ValueCounter.table`.
        baseline: those of the baseline's days.
    """
    sides = [_series([today]), _series(baseline)]
    counts = pd.concat(sides, axis=1).fillna(0.0).sort_index()
    missing = [_missing([today]), _missing(baseline)]
    return Cells(
        (*counts.index, MISSING),
        np.append(counts.iloc[:, 0].to_numpy(), missing[0]),
        np.append(counts.iloc[:, 1].to_numpy(), missing[1]),
    )


def pool_rare(cells: Cells) -> Cells:
    """Put cells together that hold too few rows to say anything, so that a divergence means something.

    A cell stays if, were both samples alike, `LEAST_EXPECTED` of its rows would fall into the smaller
    sample, or if that sample has `LEAST_SEEN` of them. Empty cells go.
    """
    rows = cells.today.sum(), cells.baseline.sum()
    smaller = cells.today if rows[0] <= rows[1] else cells.baseline
    together = cells.today + cells.baseline
    kept = (together * min(rows) / sum(rows) >= LEAST_EXPECTED) | (smaller >= LEAST_SEEN)
    names = [name for name, keep in zip(cells.names, kept, strict=True) if keep]
    pooled = [np.append(side[kept], side[~kept].sum()) for side in (cells.today, cells.baseline)]
    if together[~kept].sum() == 0:
        return Cells(tuple(names), pooled[0][:-1], pooled[1][:-1])
    return Cells((*names, RARE), pooled[0], pooled[1])


def _edges(baseline: Sequence[Distribution], bins: int) -> Floats:
    """Upper ends of all cells but the last, chosen from the values that the baseline knows exactly."""
    knots: Floats = np.unique(np.concatenate([day.knots for day in baseline]))
    if not len(knots):
        return knots
    cumulative = _up_to(baseline, knots)
    below = _up_to(baseline, np.nextafter(knots, -np.inf))
    step = cumulative[-1] / bins
    chosen = np.searchsorted(cumulative, step * np.arange(1, bins))
    alone = knots[cumulative - below >= step]
    edges: Floats = np.unique(np.concatenate([knots[chosen], alone, np.nextafter(alone, -np.inf)]))
    return edges


def _cut(cumulative: Floats, rows: int) -> Floats:
    """Rows in each cell, the missing ones last, without the dust of floating-point differences."""
    counts: Floats = np.round(np.diff(cumulative, prepend=0.0, append=rows), 6)
    return counts


def _up_to(days: Sequence[Distribution], values: Floats) -> Floats:
    summed: Floats = np.sum([day.up_to(values) for day in days], axis=0)
    return summed


def _interval_names(edges: Floats) -> list[str]:
    if not len(edges):
        return ["any number"]
    inner = zip(edges, edges[1:], np.append(edges[2:], np.inf), strict=False)
    first = _upper(edges[0], np.append(edges, np.inf)[1])
    return [first, *(_interval_name(*ends) for ends in inner), f"over {edges[-1]:.6g}"]


def _interval_name(low: float, high: float, following: float) -> str:
    if np.nextafter(low, np.inf) == high:
        return f"{high:.6g}"
    return f"over {low:.6g}, {_upper(high, following)}"


def _upper(high: float, following: float) -> str:
    """An end just below a value with a cell of its own is named by that value."""
    return f"below {following:.6g}" if np.nextafter(high, np.inf) == following else f"up to {high:.6g}"


def _series(tables: Sequence[pa.Table]) -> pd.Series:
    counts = pa.concat_tables([present_values(table) for table in tables]).to_pandas()
    return counts.groupby("value")["count"].sum()


def _missing(tables: Sequence[pa.Table]) -> float:
    return float(sum(sum(table.filter(table["value"].is_null())["count"].to_pylist()) for table in tables))
