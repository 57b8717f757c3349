"""Encoded rows with their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from ml.features.transform import Encoded


class Batch(NamedTuple):
    """What one or more steps learn from.

    Attributes:
        encoded: n rows as the model sees them.
        labels: float32 [n], 0 or 1.
        weights: float32 [n], 1, or 0 for a row that only fills the batch up.
    """

    encoded: Encoded
    labels: Any
    weights: Any

    def take(self, rows: Any) -> Self:
        """The rows of a slice or a mask."""
        encoded = Encoded(*(part[rows] for part in self.encoded))
        return self._replace(encoded=encoded, labels=self.labels[rows], weights=self.weights[rows])

    def shuffled(self, random: np.random.Generator) -> Self:
        """The same rows in another order."""
        order = random.permutation(len(self.labels))
        encoded = Encoded(*(part.take(order, axis=0) for part in self.encoded))
        return self._replace(
            encoded=encoded, labels=self.labels.take(order), weights=self.weights.take(order)
        )

    def filled_up(self, size: int) -> Self:
        """The same with rows of no weight at the end, ``size`` rows in all."""
        missing = size - len(self.labels)
        encoded = Encoded(*(np.pad(part, ((0, missing), (0, 0))) for part in self.encoded))
        labels, weights = np.pad(self.labels, (0, missing)), np.pad(self.weights, (0, missing))
        return self._replace(encoded=encoded, labels=labels, weights=weights)

    def split(self, size: int) -> Iterator[Self]:
        """The same rows in batches of ``size``, the last one perhaps smaller."""
        return (self.take(slice(start, start + size)) for start in range(0, len(self.labels), size))

    @classmethod
    def joined(cls, batches: Sequence[Self]) -> Self:
        """The rows of all batches."""
        parts = zip(*(batch.encoded for batch in batches), strict=True)
        return cls(
            encoded=Encoded(*map(np.concatenate, parts)),
            labels=np.concatenate([batch.labels for batch in batches]),
            weights=np.concatenate([batch.weights for batch in batches]),
        )
