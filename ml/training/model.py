"""The Wide & Deep model (Cheng et al.: Wide & Deep Learning for Recommender Systems, 2016).

The wide part remembers: a weight for each value and each combination of values. The deep part
generalises: embeddings and numbers through a perceptron. Their sum is the logit of the label's being 1.
"""

from __future__ import annotations

import hashlib
from itertools import groupby
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from ml.config import Training
from ml.features.spec import CategoricalSpec, FeatureSpec
from ml.features.transform import Encoded


class WideAndDeep(tf_keras.Model):  # type: ignore[misc]
    """A linear model over ids, and a perceptron over embeddings and numbers.

    Weights start the same for the same seed. Wide weights and embeddings start at 0, so that a value
    which was never seen in training says nothing at serving.

    Args:
        spec: the fitted features.
        training: the settings.
        prior: the logit that an untrained model gives for a row of means.
    """

    def __init__(self, spec: FeatureSpec, training: Training, prior: float = 0.0) -> None:
        super().__init__(name="wide_and_deep")
        self.wide = self.add_weight(name="wide", shape=[sum(spec.wide_sizes)], initializer="zeros")
        self.embedding = GroupedEmbedding(spec.embedded)
        width = self.embedding.width + 2 * len(spec.standardised)
        self.perceptron = Perceptron(width, training, prior)

    def call(self, encoded: Encoded, dropout_seed: tf.Tensor | None = None) -> tf.Tensor:
        """Logits (float32 [n]) of encoded rows; with a seed (int64 [2]), units are dropped."""
        remembered = tf.reduce_sum(tf.gather(self.wide, encoded.wide), axis=1)
        seen = tf.concat([self.embedding(encoded.deep), encoded.numbers], axis=1)
        return remembered + self.perceptron(seen, dropout_seed)

    @property
    def wide_variables(self) -> list[tf.Variable]:
        """What FTRL trains."""
        return [self.wide]

    @property
    def deep_variables(self) -> list[tf.Variable]:
        """What Adam trains."""
        return [*self.embedding.trainable_variables, *self.perceptron.trainable_variables]

    def digest(self) -> str:
        """SHA-256 (hex) of names, shapes and values of all weights."""
        sha = hashlib.sha256()
        for variable in (*self.wide_variables, *self.deep_variables):
            values = np.ascontiguousarray(variable.numpy(), dtype="<f4")
            sha.update(f"{variable.name}{values.shape}".encode())
            sha.update(values.tobytes())
        return sha.hexdigest()


class GroupedEmbedding(tf_keras.layers.Layer):  # type: ignore[misc]
    """Embeddings of several features; those of equal width share one table, for fewer operations.

    Attributes:
        width: of all vectors together.
    """

    def __init__(self, features: tuple[CategoricalSpec, ...]) -> None:
        super().__init__(name="embedding")
        self.width = sum(feature.embedding for feature in features)
        places = sorted(range(len(features)), key=lambda place: features[place].embedding)
        self._tables: list[tuple[list[int], Any, tf.Variable]] = []
        for width, group in groupby(places, key=lambda place: features[place].embedding):
            columns = list(group)
            sizes = [features[column].size for column in columns]
            offsets = np.cumsum([0, *sizes])[:-1].astype(np.int32)
            table = self.add_weight(name=f"width_{width}", shape=[sum(sizes), width], initializer="zeros")
            self._tables.append((columns, offsets, table))

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Vectors (float32 [n, width]) of ids (int32 [n, features])."""
        rows = tf.shape(ids)[0]
        vectors = [tf.zeros([rows, 0])]
        for columns, offsets, table in self._tables:
            gathered = tf.gather(table, tf.gather(ids, columns, axis=1) + offsets)
            vectors.append(tf.reshape(gathered, [rows, len(columns) * table.shape[1]]))
        return tf.concat(vectors, axis=1)


class Perceptron(tf_keras.layers.Layer):  # type: ignore[misc]
    """Hidden layers with dropout, and one output.

    Dropout is stateless: its mask is a function of the seed that is passed. So a training that was
    interrupted goes on from its checkpoint as if nothing had happened.
    """

    def __init__(self, width: int, training: Training, prior: float) -> None:
        super().__init__(name="perceptron")
        self._dropout = training.dropout
        self._layers: list[tf_keras.layers.Dense] = []
        sizes = [*training.hidden_units, 1]
        for place, units in enumerate(sizes):
            is_last = place == len(sizes) - 1
            layer = tf_keras.layers.Dense(
                units,
                activation=None if is_last else "relu",
                kernel_initializer=tf_keras.initializers.GlorotUniform(seed=training.seed + place),
                bias_initializer=tf_keras.initializers.Constant(prior if is_last else 0.0),
                name=f"dense_{place}",
            )
            layer.build([None, width])
            self._layers.append(layer)
            width = units

    def call(self, inputs: tf.Tensor, dropout_seed: tf.Tensor | None = None) -> tf.Tensor:
        """One number (float32 [n]) for each row of inputs (float32 [n, width])."""
        *hidden, last = self._layers
        for place, layer in enumerate(hidden):
            inputs = layer(inputs)
            if dropout_seed is not None and self._dropout:
                seed = tf.random.experimental.stateless_fold_in(dropout_seed, place)
                inputs = tf.nn.experimental.stateless_dropout(inputs, self._dropout, seed)
        return tf.squeeze(last(inputs), axis=1)
