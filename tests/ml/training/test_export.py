from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ml.config import Pipeline
from ml.errors import Misconfigured
from ml.features.encoding import Encoder
from ml.features.requests import request_columns, to_examples, to_tensors
from ml.features.scoring import BATCH_SIZE, load_scorer
from ml.features.transform import Transform
from ml.training.export import export
from ml.training.model import WideAndDeep
from ml.training.plan import Plan
from tests.ml.small_pipeline import purchases, row, table

ODD_ROWS = table(
    [
        row(colour=None, hour=None, price=None, age=None),
        row(colour="unseen", user="nobody", hour=77),
        row(colour="", user="", price=-3.0, age=-1),
        row(price=1e30, age=2**40),
    ]
)


@pytest.fixture
def network(plan: Plan) -> WideAndDeep:
    network = WideAndDeep(plan.feature_spec, plan.training)
    random = np.random.default_rng(1)
    network.set_weights([random.normal(0, 0.3, weight.shape) for weight in network.get_weights()])
    return network


@pytest.fixture
def saved_model(plan: Plan, network: WideAndDeep) -> Path:
    plan.results.mkdir(parents=True)
    np.savez(plan.results / "weights.npz", *network.get_weights())
    export(plan)
    return plan.saved_model


@pytest.mark.parametrize("asked", [ODD_ROWS, purchases(500, seed=9)], ids=["odd", "usual"])
def test_both_signatures_score_as_training_does(
    pipeline: Pipeline, plan: Plan, network: WideAndDeep, saved_model: Path, asked: Any
) -> None:
    trained = tf.sigmoid(network(Encoder(Transform(plan.feature_spec))(asked))).numpy()
    scorer = load_scorer(saved_model)
    signature = tf.saved_model.load(str(saved_model)).signatures["serving_examples"]

    served = scorer(to_tensors(pipeline, asked))
    parsed = signature(examples=tf.constant(to_examples(pipeline, asked)))["score"].numpy()

    np.testing.assert_allclose(served, trained, atol=1e-6)
    np.testing.assert_array_equal(parsed, served)


def test_the_signatures_are_named_and_typed_as_promised(pipeline: Pipeline, saved_model: Path) -> None:
    signatures = tf.saved_model.load(str(saved_model)).signatures
    inputs = signatures["serving_default"].structured_input_signature[1]

    assert {name: spec.dtype.name for name, spec in inputs.items()} == request_columns(pipeline)
    assert {spec.shape.rank for spec in inputs.values()} == {1}
    assert list(signatures["serving_examples"].structured_input_signature[1]) == ["examples"]
    for signature in signatures.values():
        assert {name: spec.shape.rank for name, spec in signature.structured_outputs.items()} == {"score": 1}


def test_more_rows_than_a_batch_are_scored_in_order(pipeline: Pipeline, saved_model: Path) -> None:
    scorer = load_scorer(saved_model)
    columns = to_tensors(pipeline, purchases(BATCH_SIZE + 10))
    last = {name: values[-3:] for name, values in columns.items()}

    scores = scorer(columns)

    assert scores.shape == (BATCH_SIZE + 10,)
    np.testing.assert_allclose(scores[-3:], scorer(last), atol=1e-6)


def test_no_rows_have_no_scores(pipeline: Pipeline, saved_model: Path) -> None:
    assert load_scorer(saved_model)(to_tensors(pipeline, table([]))).shape == (0,)


def test_a_model_of_other_features_says_which_it_misses(pipeline: Pipeline, saved_model: Path) -> None:
    columns = to_tensors(pipeline, purchases(3))
    del columns["price"]

    with pytest.raises(Misconfigured, match="no column price"):
        load_scorer(saved_model)(columns)


def test_weights_that_differ_have_another_digest(network: WideAndDeep) -> None:
    before = network.digest()
    network.wide.assign_add(tf.fill(network.wide.shape, 1e-6))

    assert network.digest() != before


def test_a_value_that_was_never_seen_says_nothing(plan: Plan) -> None:
    untrained = WideAndDeep(plan.feature_spec, plan.training)
    encoded = Encoder(Transform(plan.feature_spec))(table([row(colour="unseen", user="nobody")]))

    assert not untrained.embedding(encoded.deep).numpy().any()
