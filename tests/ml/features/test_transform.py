from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.config import Cross, Pipeline
from ml.features.encoding import Encoder
from ml.features.requests import request_columns, to_tensors
from ml.features.spec import MISSING, OTHER, FeatureSpec
from ml.features.transform import FURTHEST, Encoded, Transform, bucket_ids, cross_ids, standardise
from tests.ml.small_pipeline import row, table

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "colour": st.none() | st.sampled_from(["red", "blue", "unseen", "", "grün"]),
            "user": st.none() | st.text(max_size=5),
            "hour": st.none() | st.integers(-2, 30),
            "price": st.none() | st.floats(-10, 1e30),
            "age": st.none() | st.integers(-(2**40), 2**40),
        }
    ).map(lambda values: row(**values)),
    max_size=20,
)


@pytest.fixture(scope="module")
def transform(spec: FeatureSpec) -> Transform:
    return Transform(spec)


def ids_of(transform: Transform, name: str, values: list[Any]) -> list[int]:
    feature = next(feature for feature in transform.spec.categorical if feature.name == name)
    ids: list[int] = transform.category_ids(feature, tf.constant(values)).numpy().tolist()
    return ids


def test_training_and_serving_encode_alike(pipeline: Pipeline, transform: Transform) -> None:
    @settings(max_examples=60, deadline=None)
    @given(ROWS)
    def check(rows: list[dict[str, Any]]) -> None:
        examples = table(rows)
        trained: Encoded = Encoder(transform)(examples)
        served = transform({name: tf.constant(v) for name, v in to_tensors(pipeline, examples).items()})

        np.testing.assert_array_equal(trained.wide, served.wide)
        np.testing.assert_array_equal(trained.deep, served.deep)
        np.testing.assert_allclose(trained.numbers, served.numbers, atol=1e-6)

    check()


def test_dictionary_columns_are_encoded_like_plain_ones(transform: Transform, rows: pa.Table) -> None:
    place = rows.schema.names.index("colour")
    encoded = rows.set_column(place, "colour", rows.column(place).combine_chunks().dictionary_encode())

    np.testing.assert_array_equal(Encoder(transform)(encoded).wide, Encoder(transform)(rows).wide)


def test_what_the_model_sees_has_the_shapes_of_the_spec(transform: Transform, rows: pa.Table) -> None:
    encoded = Encoder(transform)(rows)

    assert encoded.wide.shape == (rows.num_rows, 6)
    assert encoded.deep.shape == (rows.num_rows, 3)
    assert encoded.numbers.shape == (rows.num_rows, 4)


def test_every_wide_column_has_weights_of_its_own(transform: Transform, rows: pa.Table) -> None:
    ends = np.cumsum(transform.spec.wide_sizes)
    wide = Encoder(transform)(rows).wide

    assert (wide < ends).all()
    assert (wide >= ends - transform.spec.wide_sizes).all()


def test_the_model_takes_what_the_spec_says(pipeline: Pipeline, spec: FeatureSpec) -> None:
    assert request_columns(pipeline) == spec.tensor_types
    assert spec.tensor_types == {
        "age": "float32",
        "colour": "string",
        "hour": "int64",
        "price": "float32",
        "user": "string",
    }


def test_missing_and_unseen_values_have_ids_of_their_own(transform: Transform) -> None:
    assert ids_of(transform, "colour", ["", "unseen", "red"]) == [MISSING, OTHER, 2]
    assert ids_of(transform, "hour", [-1, 99]) == [MISSING, OTHER]


def test_a_hashed_value_is_never_taken_for_a_missing_one(transform: Transform) -> None:
    missing, *ids = ids_of(transform, "user", ["", *map(str, range(1000))])

    assert missing == MISSING
    assert set(ids) == set(range(1, 51))


def test_a_missing_number_has_bucket_0_and_a_flag(transform: Transform) -> None:
    price = transform.spec.numeric[0]
    encoded = Encoder(transform)(table([row(price=None), row(price=5.0)]))

    assert bucket_ids(price, tf.constant([math.nan])).numpy() == [MISSING]
    assert encoded.numbers[:, 0][0] == 0.0
    assert encoded.numbers[:, 2].tolist() == [1.0, 0.0]


def test_a_number_on_a_boundary_falls_into_the_upper_bucket(transform: Transform) -> None:
    price = transform.spec.numeric[0]
    boundary = np.float32(price.boundaries[0])
    numbers = [np.nextafter(boundary, np.float32(0)), boundary]

    assert bucket_ids(price, tf.constant(numbers, tf.float32)).numpy().tolist() == [1, 2]


def test_numbers_are_standardised_and_outliers_held(transform: Transform, rows: pa.Table) -> None:
    age = transform.spec.numeric[1]
    numbers = standardise(age, tf.constant(rows.column("age").drop_null().to_numpy(), tf.float32)).numpy()

    assert numbers.mean() == pytest.approx(0, abs=1e-5)
    assert numbers.std() == pytest.approx(1, abs=1e-5)
    assert standardise(age, tf.constant([math.inf, -math.inf])).numpy().tolist() == [FURTHEST, -FURTHEST]


def test_a_small_cross_has_an_id_for_every_combination(spec: FeatureSpec) -> None:
    cross = spec.crossed[0]
    sizes = [spec.sizes[name] for name in cross.features]
    colour, hour = np.indices(sizes).reshape(2, -1)

    ids = cross_ids(spec, cross, {"colour": tf.constant(colour), "hour": tf.constant(hour)}).numpy()

    assert sorted(ids) == list(range(math.prod(sizes)))
    assert spec.size_of_cross(cross) == math.prod(sizes)


def test_a_large_cross_spreads_over_its_buckets(spec: FeatureSpec) -> None:
    cross = Cross(features=("user", "hour"), hash_buckets=64)
    user, hour = np.indices([spec.sizes["user"], spec.sizes["hour"]]).reshape(2, -1)

    ids = cross_ids(spec, cross, {"user": tf.constant(user), "hour": tf.constant(hour)}).numpy()

    counts = np.bincount(ids, minlength=64)
    assert len(counts) == 64
    assert counts.min() > 0.5 * counts.mean()
    assert counts.max() < 1.5 * counts.mean()
