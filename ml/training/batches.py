"""Shuffled, encoded batches out of Parquet files, in bounded memory.

Row groups are read in a random order. The blocks that come are encoded and gathered into a pool, and the
rows of the pool are shuffled; row by row over the whole window would be half as fast. The worker of rank
r takes every row whose place in that order is r modulo the number of workers, so that shares differ by
one row at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import pyarrow as pa

from ml.features.columns import as_numbers, column_of
from ml.features.encoding import encode
from ml.features.transform import Encoded, Transform
from ml.training.plan import STEPS_PER_CALL, Plan
from ml.training.rows import TrainingRows

POOL_ROWS = 262_144

Item = TypeVar("Item")


class Batch(NamedTuple):
    """Encoded rows with their labels.

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


def epoch_of_batches(plan: Plan, transform: Transform, epoch: int, rank: int) -> Iterator[Batch]:
    """One worker's share of one epoch, `STEPS_PER_CALL` batches at a time.

    Every worker gets equally many steps, and the same call gives the same batches.
    """
    random = np.random.default_rng([plan.seed, epoch, rank])
    size = STEPS_PER_CALL * plan.worker_batch_size
    left = plan.steps_per_epoch * plan.worker_batch_size
    held: list[Batch] = []
    for block in _encoded_share(plan, transform, epoch, rank):
        held.append(block)
        if sum(len(batch.labels) for batch in held) >= max(POOL_ROWS, size):
            pool = _shuffled(held, random)
            whole = len(pool.labels) // size * size
            yield from (pool.take(slice(start, start + size)) for start in range(0, whole, size))
            held, left = [pool.take(slice(whole, None))], left - whole
    pool = _shuffled(held, random).filled_up(left)
    yield from (pool.take(slice(start, start + size)) for start in range(0, left, size))


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, the next one being made by another thread while one is used."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def _encoded_share(plan: Plan, transform: Transform, epoch: int, rank: int) -> Iterator[Batch]:
    for block in _share(plan, epoch, rank):
        labels = as_numbers(column_of(block, plan.label))
        yield Batch(encode(transform, block), labels, np.ones_like(labels))


def _share(plan: Plan, epoch: int, rank: int) -> Iterator[pa.RecordBatch]:
    features = tuple(plan.feature_spec.sizes)
    rows = TrainingRows(features, plan.label, plan.event_time, plan.before_ms)
    place = 0
    for group in np.random.default_rng([plan.seed, epoch]).permutation(len(plan.row_groups)):
        for block in rows.blocks(plan.row_groups[group].path, plan.row_groups[group].index):
            places = np.arange(place, place + block.num_rows)
            yield block.filter(pa.array(places % plan.training.workers == rank))
            place += block.num_rows


def _shuffled(batches: list[Batch], random: np.random.Generator) -> Batch:
    encoded = Encoded(*(np.concatenate(parts) for parts in zip(*(b.encoded for b in batches), strict=True)))
    labels = np.concatenate([batch.labels for batch in batches])
    weights = np.concatenate([batch.weights for batch in batches])
    return Batch(encoded, labels, weights).shuffled(random)
