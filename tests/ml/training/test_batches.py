from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from ml.config import Pipeline
from ml.features.encoding import encode
from ml.features.transform import Transform
from ml.training import batches
from ml.training.batches import Batch, ahead, epoch_of_batches
from ml.training.plan import STEPS_PER_CALL, Plan
from ml.training.rows import TrainingRows


@pytest.fixture
def transform(plan: Plan) -> Transform:
    return Transform(plan.feature_spec)


@pytest.fixture(params=[1, 2, 4])
def shared_plan(request: pytest.FixtureRequest, plan: Plan, pipeline: Pipeline) -> Plan:
    return plan.model_copy(
        update={"training": pipeline.training.model_copy(update={"workers": request.param})}
    )


def contents(batch: Batch) -> Counter[bytes]:
    real = batch.take(batch.weights > 0)
    # The last bit of a logarithm depends on a row's place in its block.
    joined = np.concatenate([real.encoded.wide, real.encoded.numbers, real.labels[:, None]], axis=1)
    return Counter(row.tobytes() for row in joined.astype(np.float64).round(4) + 0.0)


def expected(plan: Plan, transform: Transform) -> Counter[bytes]:
    rows = TrainingRows(tuple(plan.feature_spec.sizes), plan.label, plan.event_time, plan.before_ms)
    total: Counter[bytes] = Counter()
    for group in plan.row_groups:
        for block in rows.blocks(group.path, group.index):
            labels = np.asarray(block.column("bought")).astype(np.float32)
            total += contents(Batch(encode(transform, block), labels, np.ones_like(labels)))
    return total


def test_an_epoch_is_every_training_row_once(shared_plan: Plan, transform: Transform) -> None:
    seen: Counter[bytes] = Counter()
    for rank in range(shared_plan.training.workers):
        for batch in epoch_of_batches(shared_plan, transform, 0, rank):
            seen += contents(batch)

    assert seen == expected(shared_plan, transform)


def test_every_worker_takes_the_same_steps(shared_plan: Plan, transform: Transform) -> None:
    sizes = {
        tuple(len(batch.labels) for batch in epoch_of_batches(shared_plan, transform, 0, rank))
        for rank in range(shared_plan.training.workers)
    }

    assert len(sizes) == 1
    assert sum(sizes.pop()) == shared_plan.steps_per_epoch * shared_plan.worker_batch_size


def test_a_small_pool_loses_and_repeats_nothing(
    plan: Plan, transform: Transform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "POOL_ROWS", 1)
    monkeypatch.setattr(batches, "STEPS_PER_CALL", 2)
    seen = sum((contents(batch) for batch in epoch_of_batches(plan, transform, 0, 0)), Counter())

    assert seen == expected(plan, transform)


def test_a_worker_without_rows_takes_its_steps_all_the_same(plan: Plan, transform: Transform) -> None:
    training = plan.training.model_copy(update={"workers": 64})
    group = plan.row_groups[0].model_copy(update={"rows": 10})
    few = plan.model_copy(update={"training": training, "row_groups": (group,), "before_ms": 0})

    assert sum(len(batch.labels) for batch in epoch_of_batches(few, transform, 0, 63)) == 1


def test_the_same_epoch_is_the_same_batches(plan: Plan, transform: Transform) -> None:
    for one, other in zip(*(epoch_of_batches(plan, transform, 0, 0) for _ in range(2)), strict=True):
        np.testing.assert_array_equal(one.encoded.wide, other.encoded.wide)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_another_epoch_is_another_order(plan: Plan, transform: Transform) -> None:
    first, second = (next(epoch_of_batches(plan, transform, epoch, 0)) for epoch in range(2))

    assert (first.encoded.wide != second.encoded.wide).any()


def test_only_the_last_call_is_filled_up(plan: Plan, transform: Transform) -> None:
    *full, last = epoch_of_batches(plan, transform, 0, 0)

    assert all(len(batch.labels) == STEPS_PER_CALL * 64 and batch.weights.all() for batch in full)
    assert len(last.labels) % 64 == 0
    assert last.weights.sum() == plan.examples - sum(len(batch.labels) for batch in full)


def test_reading_ahead_changes_nothing() -> None:
    assert list(ahead(iter(range(5)))) == [0, 1, 2, 3, 4]


def test_a_failure_while_reading_ahead_is_not_lost() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(OSError, match="disk is gone"):
        next(items)
