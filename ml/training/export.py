"""Writing the servable SavedModel: transform and network in one graph, raw features in, scores out."""

from __future__ import annotations

import shutil

import numpy as np
import tensorflow as tf

from ml.features.columns import MISSING_INT, MISSING_TEXT
from ml.features.spec import FeatureSpec
from ml.features.transform import Tensors, Transform
from ml.training.model import WideAndDeep
from ml.training.plan import Plan

MISSING_INT64 = tf.int64.min


class Servable(tf.Module):  # type: ignore[misc]
    """The model as it is served.

    Signatures:
        serving_default: a named tensor [n] for each raw feature, see `ml.features.requests`.
        serving_examples: ``examples``, serialized tf.Examples [n].

    Both give ``score``, float32 [n]: the probability of label 1. Only the network's weights are kept, not
    the Keras object, whose training side would be saved too and is of no use to a model server.
    """

    def __init__(self, spec: FeatureSpec, network: WideAndDeep) -> None:
        super().__init__(name="servable")
        self._types = spec.tensor_types
        self._columns = spec.columns
        self._transform = Transform(spec)
        self._weights = network.weights
        named = {name: tf.TensorSpec([None], dtype, name) for name, dtype in self._types.items()}
        serialized = tf.TensorSpec([None], tf.string, "examples")

        def score(features: Tensors) -> dict[str, tf.Tensor]:
            return {"score": tf.sigmoid(network(self._transform(features)))}

        def score_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            return score(self._parse(examples))

        self.serving_default = tf.function(score, [named], autograph=False)
        self.serving_examples = tf.function(score_examples, [serialized], autograph=False)

    def _parse(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        defaults = {"string": MISSING_TEXT, "int": MISSING_INT64, "float": float("nan")}
        types = {"string": tf.string, "int": tf.int64, "float": tf.float32}
        parsed = tf.io.parse_example(
            examples,
            {
                name: tf.io.FixedLenFeature([], types[column], defaults[column])
                for name, column in self._columns.items()
            },
        )
        return {name: self._with_stand_ins(name, values) for name, values in parsed.items()}

    def _with_stand_ins(self, name: str, values: tf.Tensor) -> tf.Tensor:
        if values.dtype != tf.int64:
            return values
        is_missing = values == MISSING_INT64
        if self._types[name] == "int64":
            return tf.where(is_missing, tf.constant(MISSING_INT, tf.int64), values)
        return tf.where(is_missing, float("nan"), tf.cast(values, tf.float32))


def export(plan: Plan) -> None:
    """Write the SavedModel of the weights that the chief has left.

    In a process that does nothing else: TensorFlow numbers its functions as it makes them, and the numbers
    are part of the bytes. So the same weights give the same bytes, however the training went.
    """
    shutil.rmtree(plan.saved_model, ignore_errors=True)
    network = WideAndDeep(plan.feature_spec, plan.training)
    with np.load(plan.results / "weights.npz") as weights:
        network.set_weights(list(weights.values()))
    servable = Servable(plan.feature_spec, network)
    signatures = {name: getattr(servable, name) for name in ("serving_default", "serving_examples")}
    tf.saved_model.save(servable, str(plan.saved_model), signatures=signatures)
