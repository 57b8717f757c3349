from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from ml.config import Pipeline
from ml.features.encoding import Encoder
from ml.features.transform import Transform
from ml.training import batches
from ml.training.batch import Batch
from ml.training.batches import ahead, batches_from
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
            total += contents(Batch(Encoder(transform)(block), labels, np.ones_like(labels)))
    return total


def test_an_epoch_is_every_training_row_once(shared_plan: Plan, transform: Transform) -> None:
    seen: Counter[bytes] = Counter()
    for rank in range(shared_plan.training.workers):
        for batch in batches_from(0, shared_plan, transform, rank):
            seen += contents(batch)

    assert seen == expected(shared_plan, transform)


def test_every_worker_takes_the_same_steps(shared_plan: Plan, transform: Transform) -> None:
    sizes = {
        tuple(len(batch.labels) for batch in batches_from(0, shared_plan, transform, rank))
        for rank in range(shared_plan.training.workers)
    }

    assert len(sizes) == 1
    assert sum(sizes.pop()) == shared_plan.steps_per_epoch * shared_plan.worker_batch_size


def test_a_small_pool_loses_and_repeats_nothing(
    plan: Plan, transform: Transform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "POOL_ROWS", 1)
    monkeypatch.setattr(batches, "STEPS_PER_CALL", 2)
    seen = sum((contents(batch) for batch in batches_from(0, plan, transform, 0)), Counter())

    assert seen == expected(plan, transform)


def test_a_worker_without_rows_takes_its_steps_all_the_same(plan: Plan, transform: Transform) -> None:
    training = plan.training.model_copy(update={"workers": 64})
    group = plan.row_groups[0].model_copy(update={"rows": 10})
    few = plan.model_copy(update={"training": training, "row_groups": (group,), "before_ms": 0})

    assert sum(len(batch.labels) for batch in batches_from(0, few, transform, 63)) == 1


def test_the_same_epoch_is_the_same_batches(plan: Plan, transform: Transform) -> None:
    for one, other in zip(*(batches_from(0, plan, transform, 0) for _ in range(2)), strict=True):
        np.testing.assert_array_equal(one.encoded.wide, other.encoded.wide)
        np.testing.assert_array_equal(one.labels, other.labels)


@pytest.fixture
def two_epochs(plan: Plan) -> Plan:
    return plan.model_copy(update={"training": plan.training.model_copy(update={"epochs": 2})})


def test_another_epoch_is_the_same_rows_in_another_order(two_epochs: Plan, transform: Transform) -> None:
    calls = list(batches_from(0, two_epochs, transform, 0))
    first, second = calls[: len(calls) // 2], calls[len(calls) // 2 :]

    assert contents(Batch.joined(first)) == contents(Batch.joined(second))
    assert (first[0].encoded.wide != second[0].encoded.wide).any()


@pytest.mark.parametrize("call", [1, 3, 5, 9])
def test_who_begins_later_gets_what_comes_there(two_epochs: Plan, transform: Transform, call: int) -> None:
    undisturbed = list(batches_from(0, two_epochs, transform, 0))
    step = sum(len(batch.labels) // 64 for batch in undisturbed[:call])
    resumed = list(batches_from(step, two_epochs, transform, 0))

    for one, other in zip(undisturbed[call:], resumed, strict=True):
        np.testing.assert_array_equal(one.encoded.wide, other.encoded.wide)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_only_the_last_call_is_filled_up(plan: Plan, transform: Transform) -> None:
    *full, last = batches_from(0, plan, transform, 0)

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
