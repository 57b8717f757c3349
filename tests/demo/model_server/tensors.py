"""Tensors as arrays, as protos and as JSON, by TensorFlow Serving's mapping."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

from tests.demo.model_server.status import invalid_argument

Array = np.ndarray[Any, Any]
Tensors = Mapping[str, Array]

FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int8: "int_val",
    tf.uint8: "int_val",
    tf.int16: "int_val",
    tf.int32: "int_val",
    tf.uint32: "uint32_val",
    tf.int64: "int64_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}


def array_of(name: str, proto: Any) -> Array:
    """The array in a TensorProto; strings are bytes.

    Raises:
        StatusError: INVALID_ARGUMENT if the proto contradicts itself.
    """
    try:
        array: Array = tf.make_ndarray(proto)
    except (TypeError, ValueError) as error:
        raise invalid_argument(f"tensor parsing error: {name} ({error})") from error
    return array


def proto_of(array: Array) -> Any:
    """A TensorProto with its values in the typed field, as TensorFlow Serving answers.

    Raises:
        StatusError: INVALID_ARGUMENT for a type that no typed field holds.
    """
    dtype = tf.as_dtype(array.dtype)
    if dtype not in FIELDS:
        raise invalid_argument(f"An output has type {dtype.name}, which the stand-in cannot send")
    proto = TensorProto(dtype=dtype.as_datatype_enum, tensor_shape=tf.TensorShape(array.shape).as_proto())
    getattr(proto, FIELDS[dtype]).extend(array.ravel().tolist())
    return proto


def array_from_json(value: Any, dtype: Any) -> Array:
    """The array that nested JSON lists stand for.

    Args:
        value: a scalar, or lists of one shape all through.
        dtype: the TensorFlow type of the input that it is for. No value is converted with a loss.

    Raises:
        StatusError: INVALID_ARGUMENT for ragged lists or values of another type.
    """
    shape = _shape(value)
    leaves = list(_leaves(value, shape))
    if dtype == tf.string:
        array = np.empty(len(leaves), dtype=object)
        array[:] = [_bytes(leaf) for leaf in leaves]
        return array.reshape(shape)
    _check_leaves(leaves, dtype)
    return np.array(leaves, dtype=dtype.as_numpy_dtype).reshape(shape)


def json_of(name: str, array: Array) -> Any:
    """Nested lists for JSON; strings as text, or as base64 if the tensor's name ends in ``_bytes``."""
    if array.dtype == object:
        as_text = _base64 if name.endswith("_bytes") else _text
        texts = np.empty(array.size, dtype=object)
        texts[:] = [as_text(value) for value in array.ravel()]
        return texts.reshape(array.shape).tolist()
    if array.dtype == np.float32:
        # By way of text, or 0.2 would be sent as 0.20000000298023224.
        array = array.astype(str).astype(np.float64)
    return array.tolist()


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        return ()
    return (len(value), *(_shape(value[0]) if value else ()))


def _leaves(value: Any, shape: Sequence[int]) -> Iterator[Any]:
    if not shape:
        if isinstance(value, list):
            raise invalid_argument(
                "Encountered list at unexpected level: lists must have one shape all through"
            )
        yield value
        return
    if not isinstance(value, list):
        raise invalid_argument(f"JSON Value: {value!r} found at incorrect level: expected a list")
    if len(value) != shape[0]:
        raise invalid_argument(f"Encountered list at unexpected size: {len(value)} expected size: {shape[0]}")
    for item in value:
        yield from _leaves(item, shape[1:])


def _check_leaves(leaves: Sequence[Any], dtype: Any) -> None:
    if dtype not in FIELDS:
        raise invalid_argument(f"JSON cannot carry an input of type {dtype.name}")
    for leaf in leaves:
        if not _fits(leaf, dtype):
            raise invalid_argument(
                f"JSON Value: {leaf!r} Type: {type(leaf).__name__} is not of expected type: {dtype.name}, "
                "or cannot be converted to it without loss of precision"
            )


def _stays_finite(leaf: float, dtype: Any) -> bool:
    """Whether the nearest value of the type is finite; the shortest decimal of its largest lies above it."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.asarray(leaf).astype(dtype.as_numpy_dtype)))


def _fits(leaf: Any, dtype: Any) -> bool:
    fits: bool
    if dtype == tf.bool or isinstance(leaf, bool):
        fits = dtype == tf.bool and isinstance(leaf, bool)
    elif isinstance(leaf, float):
        fits = dtype.is_floating and (not math.isfinite(leaf) or _stays_finite(leaf, dtype))
    elif isinstance(leaf, int) and dtype.is_floating:
        fits = abs(leaf) < 2 ** (np.finfo(dtype.as_numpy_dtype).nmant + 1)
    else:
        fits = isinstance(leaf, int) and dtype.min <= leaf <= dtype.max
    return fits


def _bytes(leaf: Any) -> bytes:
    if isinstance(leaf, str):
        return leaf.encode()
    if isinstance(leaf, dict) and list(leaf) == ["b64"] and isinstance(leaf["b64"], str):
        try:
            return base64.b64decode(leaf["b64"], validate=True)
        except binascii.Error as error:
            raise invalid_argument("Unable to base64 decode") from error
    raise invalid_argument(f"JSON Value: {leaf!r} is not of expected type: string")


def _base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
