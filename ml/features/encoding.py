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


class Encoder:
    """Encodes blocks of rows as numpy arrays, equal to what the transform gives for them at serving.

    Args:
        transform: whose operations are used; as one graph, which is twice as fast as one by one.
    """

    def __init__(self, transform: Transform) -> None:
        self._transform = transform
        self._assemble = tf.function(transform.assemble, autograph=False, reduce_retracing=True)

    def __call__(self, rows: Rows) -> Encoded:
        """Encode rows.

        Raises:
            Misconfigured: if a feature's column is missing.
        """
        spec = self._transform.spec
        ids = {
            feature.name: self._ids(feature, column_of(rows, feature.name)) for feature in spec.categorical
        }
        numbers = {
            feature.name: tf.constant(as_numbers(column_of(rows, feature.name))) for feature in spec.numeric
        }
        return Encoded(*(part.numpy() for part in self._assemble(ids, numbers)))

    def _ids(self, feature: CategoricalSpec, column: pa.Array) -> tf.Tensor:
        if not isinstance(column, pa.DictionaryArray):
            column = column.dictionary_encode()
        distinct = pa.concat_arrays([column.dictionary, pa.nulls(1, column.dictionary.type)])
        ids_of_distinct = self._transform.category_ids(feature, tf.constant(as_categories(distinct)))
        return tf.gather(ids_of_distinct, _indices(column))


def _indices(column: pa.DictionaryArray) -> np.ndarray[Any, Any]:
    """Places in the dictionary; that of a missing value is one beyond its end."""
    return np.asarray(column.indices.fill_null(len(column.dictionary)))
