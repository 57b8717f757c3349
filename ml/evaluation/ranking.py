"""Rows with one model's scores, sorted once and cut into slices without sorting again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ml.evaluation.estimate import FloatArray

Labels = NDArray[np.bool_]
Scores = NDArray[np.float32] | NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Labels and one model's scores of the same rows, with the order of the scores.

    Attributes:
        labels: bool [rows].
        scores: float [rows], probabilities.
        order: intp [rows], the rows from the lowest score to the highest.
    """

    labels: Labels
    scores: Scores
    order: Indices

    @classmethod
    def of(cls, labels: Labels, scores: Scores) -> Ranking:
        """Sort the rows by score."""
        return cls(labels, scores, np.argsort(scores))

    @property
    def positives(self) -> int:
        """How many rows have a true label."""
        return int(np.count_nonzero(self.labels))

    def split(self, codes: NDArray[np.uint8], count: int) -> list[Ranking]:
        """Cut the rows into parts and keep the order within each, in time linear in the rows.

        Args:
            codes: uint8 [rows], each row's part, below ``count``.
            count: how many parts there are.

        Returns:
            The parts, in the order of their codes; the rows of each in their order here.
        """
        grouped = np.argsort(codes, kind="stable")
        ranked = self.order[np.argsort(codes[self.order], kind="stable")]
        place = np.empty_like(grouped)
        place[grouped] = np.arange(len(grouped))
        edges = np.cumsum([0, *np.bincount(codes, minlength=count)])
        return [
            Ranking(self.labels[rows], self.scores[rows], place[ranked[start:end]] - start)
            for start, end in pairwise(edges)
            for rows in [grouped[start:end]]
        ]

    def ties(self) -> tuple[Indices, Indices]:
        """For each place in the order, the first and the last place with the same score."""
        ranked = self.scores[self.order]
        starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        sizes = np.diff(np.r_[starts, len(ranked)])
        return np.repeat(starts, sizes), np.repeat(starts + sizes - 1, sizes)

    def by_row(self, ranked: FloatArray) -> FloatArray:
        """Values given by place in the order, put back into the order of the rows."""
        values = np.empty_like(ranked)
        values[self.order] = ranked
        return values
