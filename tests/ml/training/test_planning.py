from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml.artifact import Window
from ml.config import Pipeline
from ml.errors import DataRejected, Misconfigured, NoRecords
from ml.store import Draft
from ml.training import TrainingData
from ml.training.plan import Plan
from ml.training.planning import make_plan
from tests.ml.small_pipeline import HOLDOUT, land, row, table


@pytest.fixture
def day(tmp_path: Path) -> Path:
    return tmp_path / "day"


def test_the_rows_before_the_holdout_are_counted(plan: Plan, rows: pa.Table) -> None:
    labels = rows.filter(pc.less(rows.column("time"), HOLDOUT.start_ms)).column("bought")

    assert plan.examples == len(labels) == 2250
    assert sum(group.positives for group in plan.row_groups) == sum(labels.to_pylist())


def test_the_features_are_fitted_on_no_held_out_row(pipeline: Pipeline, draft: Draft, day: Path) -> None:
    early = [row(colour="red", bought=label) for label in (0, 1)]
    land(table([*early, row(colour="late", time=HOLDOUT.start_ms)]), day)

    plan = make_plan(pipeline, TrainingData([day], HOLDOUT), draft)

    assert plan.feature_spec.categorical[0].vocabulary == ("red",)


def test_each_day_of_the_window_is_counted(pipeline: Pipeline, draft: Draft, tmp_path: Path) -> None:
    days = [land(table([row(), row(bought=1)] * size), tmp_path / f"day-{size}") for size in (1, 2, 3)]

    plan = make_plan(pipeline, TrainingData(days, HOLDOUT), draft)

    assert [group.day for group in plan.row_groups] == [0, 0, 1, 1, 2, 2]
    assert plan.examples == 12


def test_steps_are_the_same_for_every_worker(plan: Plan, pipeline: Pipeline) -> None:
    shared = plan.model_copy(update={"training": pipeline.training.model_copy(update={"workers": 2})})

    assert plan.steps_per_epoch == 36
    assert (shared.worker_batch_size, shared.steps_per_epoch) == (32, 36)


def test_what_the_workers_read_is_what_was_planned(plan: Plan) -> None:
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_a_window_without_training_rows_is_rejected(
    pipeline: Pipeline, data: TrainingData, draft: Draft
) -> None:
    whole_day = Window.parse("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")

    with pytest.raises(NoRecords, match="holdout_fraction"):
        make_plan(pipeline, TrainingData(data.days, whole_day), draft)


def test_a_window_without_days_is_rejected(pipeline: Pipeline, draft: Draft) -> None:
    with pytest.raises(NoRecords, match="0 days"):
        make_plan(pipeline, TrainingData([], HOLDOUT), draft)


@pytest.mark.parametrize("label", [0, 1])
def test_labels_that_are_all_the_same_are_rejected(
    pipeline: Pipeline, draft: Draft, day: Path, label: int
) -> None:
    land(table([row(bought=label)] * 4), day)

    with pytest.raises(DataRejected, match=f"all 4 training rows have label {label}"):
        make_plan(pipeline, TrainingData([day], HOLDOUT), draft)


@pytest.mark.parametrize("label", [2, None])
def test_a_label_that_is_neither_0_nor_1_is_rejected(
    pipeline: Pipeline, draft: Draft, day: Path, label: int | None
) -> None:
    land(table([row(), row(bought=1), row(bought=label)]), day)

    with pytest.raises(DataRejected, match=r"1 of 2 rows .* 'bought'"):
        make_plan(pipeline, TrainingData([day], HOLDOUT), draft)


@pytest.mark.parametrize("price", [1e39, -1e39])
def test_a_number_that_no_model_can_take_is_named_with_its_day(
    pipeline: Pipeline, draft: Draft, day: Path, price: float
) -> None:
    land(table([row(), row(bought=1), row(price=price)]), day)

    with pytest.raises(DataRejected, match=rf"1 of 2 rows of {day}/part-00001.* 'price' .*float_domain"):
        make_plan(pipeline, TrainingData([day], HOLDOUT), draft)


def test_a_column_that_was_not_landed_is_named(
    pipeline: Pipeline, draft: Draft, day: Path, rows: pa.Table
) -> None:
    land(rows.drop(["price"]), day)

    with pytest.raises(Misconfigured, match="no column price"):
        make_plan(pipeline, TrainingData([day], HOLDOUT), draft)
