"""Encoding landed rows for training, through the transform's own operations.

A categorical column is dictionary-encoded first, and only its distinct values are looked up or hashed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from ml.features.columns import Rows, as_categories, as_numbers, column_of
from ml.features.spec import CategoricalSpec
from ml.features.transform import Encoded, Transform


def encode(transform: Transform, rows: Rows) -> Encoded:
    """Encode rows as numpy arrays, equal to what the transform gives for the same rows at serving.

    Raises:
        Misconfigured: if a feature's column is missing.
    """
    spec = transform.spec
    ids = {
        feature.name: _ids(transform, feature, column_of(rows, feature.name)) for feature in spec.categorical
    }
    numbers = {
        feature.name: tf.constant(as_numbers(column_of(rows, feature.name))) for feature in spec.numeric
    }
    return Encoded(*(part.numpy() for part in transform.assemble(ids, numbers)))


def _ids(transform: Transform, feature: CategoricalSpec, column: pa.Array) -> tf.Tensor:
    if not isinstance(column, pa.DictionaryArray):
        column = column.dictionary_encode()
    distinct = pa.concat_arrays([column.dictionary, pa.nulls(1, column.dictionary.type)])
    ids_of_distinct = transform.category_ids(feature, tf.constant(as_categories(distinct)))
    return tf.gather(ids_of_distinct, _indices(column))


def _indices(column: pa.DictionaryArray) -> np.ndarray[Any, Any]:
    last = len(column.dictionary)
    return np.asarray(column.indices.cast(pa.int64()).fill_null(last))
