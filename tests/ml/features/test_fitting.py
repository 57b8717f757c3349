from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.config import Pipeline
from ml.errors import Misconfigured
from ml.features.fitting import SAMPLE_SIZE, Fitting, Moments, ValueCounts, quantile_boundaries, scaled
from ml.features.spec import FeatureSpec
from tests.ml.small_pipeline import row, table

NUMBERS = st.floats(-1e6, 1e6, width=32)


def fitted(pipeline: Pipeline, *blocks: pa.Table, expected_rows: int = 0) -> FeatureSpec:
    fitting = Fitting(pipeline.features, pipeline.read_schema().columns, expected_rows)
    for block in blocks:
        fitting.add(block)
    return fitting.spec()


def test_the_most_frequent_values_are_kept(spec: FeatureSpec, pipeline: Pipeline) -> None:
    assert spec.categorical[0].vocabulary == ("red", "green", "blue")


def test_of_equally_frequent_values_the_first_by_name_is_kept(pipeline: Pipeline) -> None:
    colours = ["teal", "rose", "lime", "gold"]
    spec = fitted(pipeline, table(row(colour=colour) for colour in colours))

    assert spec.categorical[0].vocabulary == ("gold", "lime", "rose")


def test_missing_and_empty_values_are_in_no_vocabulary(pipeline: Pipeline) -> None:
    spec = fitted(pipeline, table([row(colour=None), row(colour=""), row(colour="red")]))

    assert spec.categorical[0].vocabulary == ("red",)


def test_whole_numbers_have_a_vocabulary_too(pipeline: Pipeline) -> None:
    spec = fitted(pipeline, table([row(hour=8), row(hour=8), row(hour=23)]))

    assert spec.categorical[2].vocabulary == ("8", "23")


def test_a_feature_that_is_always_missing_is_no_failure(pipeline: Pipeline) -> None:
    price = fitted(pipeline, table([row(price=None)])).numeric[0]

    assert (price.mean, price.deviation, price.boundaries) == (0.0, 1.0, ())


def test_the_blocks_that_rows_come_in_do_not_matter(pipeline: Pipeline, rows: pa.Table) -> None:
    whole = fitted(pipeline, rows)
    parts = fitted(pipeline, *(rows.slice(start, 300) for start in range(0, rows.num_rows, 300)))

    assert parts.model_copy(update={"numeric": ()}) == whole.model_copy(update={"numeric": ()})
    for one, other in zip(parts.numeric, whole.numeric, strict=True):
        assert one.boundaries == other.boundaries
        assert [one.mean, one.deviation] == pytest.approx([other.mean, other.deviation], rel=1e-12)


def test_dictionary_columns_are_counted_like_plain_ones(pipeline: Pipeline, rows: pa.Table) -> None:
    place = rows.schema.names.index("colour")
    encoded = rows.set_column(place, "colour", rows.column(place).dictionary_encode())

    assert fitted(pipeline, encoded) == fitted(pipeline, rows)


def test_a_long_window_is_sampled_evenly(pipeline: Pipeline) -> None:
    ages = table(row(age=13 + number % 100) for number in range(1000))
    spec = fitted(pipeline, *[ages] * 4, expected_rows=3 * SAMPLE_SIZE)

    assert spec.numeric[1].boundaries == pytest.approx([33, 53, 73, 93], abs=2)


def test_what_was_fitted_is_read_back_as_it_was(spec: FeatureSpec) -> None:
    assert FeatureSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_column_that_is_not_there_is_named(pipeline: Pipeline, rows: pa.Table) -> None:
    with pytest.raises(Misconfigured, match="'hour'"):
        fitted(pipeline, rows.drop(["hour"]))


@given(st.lists(st.lists(NUMBERS, max_size=20), min_size=1, max_size=5))
def test_moments_are_those_of_all_values_together(blocks: list[list[float]]) -> None:
    moments = Moments()
    for block in blocks:
        moments.add(np.array(block, np.float64))
    values = np.concatenate([np.array(block, np.float64) for block in blocks])

    assert moments.count == len(values)
    if len(values):
        assert moments.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-6)
        assert moments.deviation == pytest.approx(values.std() or 1.0, rel=1e-6, abs=1e-6)


@given(st.lists(NUMBERS, max_size=200), st.integers(2, 20))
def test_no_number_has_more_buckets_than_asked(values: list[float], buckets: int) -> None:
    boundaries = quantile_boundaries(np.array(values, np.float32), buckets)

    assert len(boundaries) < buckets
    assert list(boundaries) == sorted(set(boundaries))


@given(st.lists(st.sampled_from([1.0, 2.0, 5.0]), min_size=1))
def test_a_number_with_few_values_has_a_bucket_for_each(values: list[float]) -> None:
    boundaries = quantile_boundaries(np.array(values), 3)

    places = {value: np.searchsorted(boundaries, value, side="right") for value in set(values)}
    assert len(set(places.values())) == len(places)


def test_buckets_hold_about_equally_many_values() -> None:
    values = np.random.default_rng(1).lognormal(size=10_000)
    places = np.searchsorted(quantile_boundaries(values, 10), values, side="right")

    assert np.bincount(places) == pytest.approx(1000, abs=2)


def test_amounts_below_zero_count_as_zero_on_the_log_scale() -> None:
    assert scaled(np.array([-5.0, 0.0]), "log").tolist() == [0.0, 0.0]


@given(st.lists(st.lists(st.text("ab", max_size=2))))
def test_values_are_counted_exactly(blocks: list[list[str]]) -> None:
    counts = ValueCounts()
    for block in blocks:
        counts.add(pa.array(block, pa.string()))

    everything = [value for block in blocks for value in block]
    assert counts.counts == {value: everything.count(value) for value in set(everything)}
