"""Raw rows as the served model takes them: named tensors, or serialized tf.Examples.

A missing value has its stand-in (see `ml.features.columns`) in a tensor, and is left out of a tf.Example.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ml.config import Pipeline
from ml.features.columns import Rows, as_categories, as_numbers, column_of
from ml.features.spec import category_type
from ml.schema import ColumnType


def request_columns(pipeline: Pipeline) -> dict[str, str]:
    """What ``serving_default`` takes: feature name → ``string``, ``int64`` or ``float32``, by name."""
    columns = pipeline.read_schema().columns
    return {
        name: "float32" if name in pipeline.features.numeric else category_type(columns[name])
        for name in pipeline.features.names
    }


def to_tensors(pipeline: Pipeline, batch: Rows) -> dict[str, np.ndarray[Any, Any]]:
    """Raw rows as the named inputs of ``serving_default``.

    Args:
        pipeline: names the features.
        batch: n rows of landed examples.

    Returns:
        Feature name → array of shape [n] with a dtype of `request_columns` (object for strings).

    Raises:
        Misconfigured: if the batch lacks a feature.
    """
    return as_tensors(request_columns(pipeline), batch)


def as_tensors(types: Mapping[str, str], batch: Rows) -> dict[str, np.ndarray[Any, Any]]:
    """The same for any model: its inputs' names and types say what it takes."""
    return {
        name: as_numbers(column_of(batch, name))
        if dtype == "float32"
        else as_categories(column_of(batch, name))
        for name, dtype in types.items()
    }


def to_examples(pipeline: Pipeline, batch: Rows) -> list[bytes]:
    """Raw rows as the input of ``serving_examples``: one serialized tf.Example each.

    Raises:
        Misconfigured: if the batch lacks a feature.
    """
    types = pipeline.read_schema().columns
    columns = {name: column_of(batch, name).to_pylist() for name in pipeline.features.names}
    return [
        _example({name: values[row] for name, values in columns.items()}, types)
        for row in range(batch.num_rows)
    ]


def _example(row: Mapping[str, Any], types: Mapping[str, ColumnType]) -> bytes:
    present = {name: _feature(value, types[name]) for name, value in row.items() if value is not None}
    return bytes(tf.train.Example(features=tf.train.Features(feature=present)).SerializeToString())


def _feature(value: Any, column: ColumnType) -> tf.train.Feature:
    if column == "int":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    if column == "float":
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
