"""Columns of raw rows as arrays, a missing value as its stand-in.

A missing value is NaN in a number, ``""`` in a text and -1 in a whole number that stands for a category.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from ml.errors import Misconfigured

MISSING_INT = -1
MISSING_TEXT = ""

Rows: TypeAlias = pa.RecordBatch | pa.Table


def column_of(batch: Rows, name: str) -> pa.Array:
    """One column in one piece.

    Raises:
        Misconfigured: if there is no such column.
    """
    if name not in batch.schema.names:
        raise Misconfigured(
            f"the rows have no column {name!r}; they have {', '.join(batch.schema.names)}. They were landed "
            "with another schema: land the day again, or take the feature out of pipeline.yaml."
        )
    column = batch.column(batch.schema.names.index(name))
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def as_numbers(column: pa.Array) -> np.ndarray[Any, Any]:
    """A numeric column as float32 of shape [n], NaN where the value is missing."""
    numbers = column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(numbers, np.float32)


def as_categories(column: pa.Array) -> np.ndarray[Any, Any]:
    """A categorical column as int64 or text of shape [n], with a stand-in where the value is missing."""
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    if pa.types.is_integer(column.type):
        return np.asarray(column.cast(pa.int64()).fill_null(MISSING_INT))
    return np.asarray(column.cast(pa.string()).fill_null(MISSING_TEXT))
