"""The transform: raw features to what the model sees, as TensorFlow operations.

There is one of it. The SavedModel holds it as a graph, and training runs the same operations on blocks
of rows (see `ml.features.encoding`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ml.config import Cross
from ml.features.columns import MISSING_INT, MISSING_TEXT
from ml.features.spec import MISSING, OTHER, CategoricalSpec, FeatureSpec, NumericSpec

FURTHEST = 10.0
PRIME = 2**31 - 1
MULTIPLIER = 1_103_515_245

Tensors = Mapping[str, tf.Tensor]


class Encoded(NamedTuple):
    """What the model sees of n rows.

    Attributes:
        wide: int32 [n, wide columns]. Which weights count; each column has a range of its own.
        deep: int32 [n, embedded features]. Rows of the embedding tables.
        numbers: float32 [n, 2 * standardised features]. The values, then 1 for each that is missing.
    """

    wide: Any
    deep: Any
    numbers: Any


class Transform(tf.Module):  # type: ignore[misc]
    """Turns raw features into `Encoded`, as a feature_spec says."""

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__(name="transform")
        self.spec = spec
        self._offsets = np.cumsum([0, *spec.wide_sizes], dtype=np.int32)[:-1]
        self._vocabularies = {
            feature.name: _lookup_table(feature.vocabulary)
            for feature in spec.categorical
            if feature.vocabulary is not None
        }

    def __call__(self, features: Tensors) -> Encoded:
        """Encode rows.

        Args:
            features: name → [n], string, int64 or float32, a missing value as its stand-in.
        """
        ids = {
            feature.name: self.category_ids(feature, features[feature.name])
            for feature in self.spec.categorical
        }
        return self.assemble(ids, features)

    def category_ids(self, feature: CategoricalSpec, values: tf.Tensor) -> tf.Tensor:
        """Ids (int64) of values of a categorical feature, of the same shape."""
        text = _as_text(values) if feature.column == "int" else values
        if feature.vocabulary is not None:
            return self._vocabularies[feature.name].lookup(text)
        hashed = tf.strings.to_hash_bucket_fast(text, feature.hash_buckets) + 1
        return tf.where(text == MISSING_TEXT, tf.constant(MISSING, tf.int64), hashed)

    def assemble(self, ids: Tensors, numbers: Tensors) -> Encoded:
        """Encode rows whose categories are ids already.

        Args:
            ids: categorical feature → int64 [n].
            numbers: numeric feature → float32 [n].
        """
        spec = self.spec
        ids = {
            **ids,
            **{feature.name: bucket_ids(feature, numbers[feature.name]) for feature in spec.numeric},
        }
        wide = [*(ids[name] for name in spec.wide), *(cross_ids(spec, cross, ids) for cross in spec.crossed)]
        deep = [ids[feature.name] for feature in spec.embedded]
        values = [standardise(feature, numbers[feature.name]) for feature in spec.standardised]
        missing = [tf.math.is_nan(numbers[feature.name]) for feature in spec.standardised]
        rows = tf.shape(next(iter(ids.values())))[0]
        return Encoded(
            wide=_stack(wide, rows, tf.int32) + self._offsets,
            deep=_stack(deep, rows, tf.int32),
            numbers=_stack([*values, *missing], rows, tf.float32),
        )


def bucket_ids(feature: NumericSpec, numbers: tf.Tensor) -> tf.Tensor:
    """Buckets (int64 [n]) of numbers (float32 [n]); 0 is missing."""
    boundaries = tf.constant(feature.boundaries, tf.float32)
    bucket = 1 + tf.searchsorted(boundaries, numbers, side="right", out_type=tf.int64)
    return tf.where(tf.math.is_nan(numbers), tf.constant(MISSING, tf.int64), bucket)


def standardise(feature: NumericSpec, numbers: tf.Tensor) -> tf.Tensor:
    """Numbers (float32 [n]) as deviations from the mean, at most `FURTHEST`; 0 is missing."""
    scaled = tf.math.log1p(tf.maximum(numbers, 0.0)) if feature.scale == "log" else numbers
    standard = tf.clip_by_value((scaled - feature.mean) / feature.deviation, -FURTHEST, FURTHEST)
    return tf.where(tf.math.is_nan(numbers), 0.0, standard)


def cross_ids(spec: FeatureSpec, cross: Cross, ids: Tensors) -> tf.Tensor:
    """Ids (int64 [n]) of the combinations of a cross's features.

    Every combination has an id of its own if there are few enough. Otherwise they are hashed, as a
    polynomial over the integers modulo a Mersenne prime (Carter and Wegman: Universal Classes of Hash
    Functions, 1979), which 64 bits hold without overflow.
    """
    sizes = [spec.sizes[name] for name in cross.features]
    exact = math.prod(sizes) <= cross.hash_buckets
    combined = tf.zeros_like(ids[cross.features[0]])
    for name, size in zip(cross.features, sizes, strict=True):
        combined = combined * size + ids[name] if exact else (combined * MULTIPLIER + ids[name] + 1) % PRIME
    return combined if exact else combined * MULTIPLIER % PRIME % cross.hash_buckets


def _as_text(values: tf.Tensor) -> tf.Tensor:
    return tf.where(values == MISSING_INT, MISSING_TEXT, tf.strings.as_string(values))


def _lookup_table(vocabulary: tuple[str, ...]) -> tf.lookup.StaticHashTable:
    ids = {MISSING_TEXT: MISSING, **{value: OTHER + 1 + place for place, value in enumerate(vocabulary)}}
    pairs = tf.lookup.KeyValueTensorInitializer(list(ids), list(ids.values()), tf.string, tf.int64)
    return tf.lookup.StaticHashTable(pairs, default_value=OTHER)


def _stack(columns: Sequence[tf.Tensor], rows: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    if not columns:
        return tf.zeros([rows, 0], dtype)
    return tf.stack([tf.cast(column, dtype) for column in columns], axis=1)
