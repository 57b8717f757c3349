"""Shuffled, encoded batches out of Parquet files, in bounded memory.

Row groups are read in a random order. The blocks that come are encoded and gathered into a pool, and the
rows of the pool are shuffled; row by row over the whole window would be half as fast. The worker of rank
r takes every row whose place in that order is r modulo the number of workers, so that shares differ by
one row at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

import numpy as np
import pyarrow as pa

from ml.features.columns import as_numbers, column_of
from ml.features.encoding import Encoder
from ml.features.transform import Transform
from ml.training.batch import Batch
from ml.training.plan import STEPS_PER_CALL, Plan
from ml.training.rows import TrainingRows

POOL_ROWS = 131_072

Item = TypeVar("Item")


def batches_from(step: int, plan: Plan, transform: Transform, rank: int) -> Iterator[Batch]:
    """One worker's share of what is left of a training, `STEPS_PER_CALL` batches at a time.

    Every worker gets equally many steps, and whoever begins at a later step gets the same as whoever comes
    there. The next pool is made by another thread while one is used.

    Args:
        step: where to begin; the first step of a call.
        plan: what is trained on.
        transform: encodes the rows.
        rank: of the worker.
    """
    epoch, done = divmod(step, plan.steps_per_epoch)
    encode = Encoder(transform)
    epochs = (_pools(plan, encode, later, rank) for later in range(epoch, plan.training.epochs))
    pools = ahead(chain.from_iterable(epochs))
    calls = (call for pool in pools for call in pool.split(_call_rows(plan)))
    return islice(calls, done // STEPS_PER_CALL, None)


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, the next one being made by another thread while one is used."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def _call_rows(plan: Plan) -> int:
    return STEPS_PER_CALL * plan.worker_batch_size


def _pools(plan: Plan, encode: Encoder, epoch: int, rank: int) -> Iterator[Batch]:
    """Shuffled rows of whole calls, and at last the rest of the epoch, filled up to whole batches."""
    random = np.random.default_rng([plan.seed, epoch, rank])
    left = plan.steps_per_epoch * plan.worker_batch_size
    held: list[Batch] = []
    for block in _share(plan, epoch, rank):
        labels = as_numbers(column_of(block, plan.label))
        held.append(Batch(encode(block), labels, np.ones_like(labels)))
        if sum(len(batch.labels) for batch in held) >= max(POOL_ROWS, _call_rows(plan)):
            pool = Batch.joined(held).shuffled(random)
            whole = len(pool.labels) // _call_rows(plan) * _call_rows(plan)
            yield pool.take(slice(whole))
            held, left = [pool.take(slice(whole, None))], left - whole
    yield Batch.joined(held).shuffled(random).filled_up(left)


def _share(plan: Plan, epoch: int, rank: int) -> Iterator[pa.RecordBatch]:
    features = tuple(plan.feature_spec.sizes)
    rows = TrainingRows(features, plan.label, plan.event_time, plan.before_ms)
    place = 0
    for group in np.random.default_rng([plan.seed, epoch]).permutation(len(plan.row_groups)):
        for block in rows.blocks(plan.row_groups[group].path, plan.row_groups[group].index):
            places = np.arange(place, place + block.num_rows)
            yield block.filter(pa.array(places % plan.training.workers == rank))
            place += block.num_rows
