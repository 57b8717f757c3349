"""The body of a REST predict request and its answer, in the row and the columnar format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tests.demo.model_server.status import StatusError, invalid_argument
from tests.demo.model_server.tensors import Array, Tensors, array_from_json, json_of


@dataclass(frozen=True)
class PredictBody:
    """A predict request before its values are turned into tensors.

    Attributes:
        signature_name: empty for the default.
        values: what stood at "instances" or "inputs".
        is_row: whether it was "instances".
    """

    signature_name: str
    values: Any
    is_row: bool

    @classmethod
    def parse(cls, body: bytes) -> PredictBody:
        """Read a request.

        Raises:
            StatusError: INVALID_ARGUMENT if it is not JSON or not of the documented form.
        """
        try:
            document = json.loads(body)
        except ValueError as error:
            raise invalid_argument(f"JSON Parse error: {error}") from error
        if not isinstance(document, dict):
            raise invalid_argument("JSON Value: Is not object")
        signature_name = document.get("signature_name", "")
        if not isinstance(signature_name, str):
            raise invalid_argument("'signature_name' key must be a string value.")
        keys = {"instances", "inputs"} & document.keys()
        if len(keys) != 1:
            raise invalid_argument(
                "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
                if keys
                else "Missing 'inputs' or 'instances' key"
            )
        key = keys.pop()
        return cls(signature_name, document[key], key == "instances")

    def tensors(self, infos: Mapping[str, Any]) -> Tensors:
        """The inputs, by the TensorInfos of the signature.

        Raises:
            StatusError: INVALID_ARGUMENT if they do not fit.
        """
        types = {name: tf.as_dtype(info.dtype) for name, info in infos.items()}
        return self._from_rows(types) if self.is_row else self._from_columns(types)

    def answer(self, outputs: Tensors) -> bytes:
        """The response in the format of the request.

        Raises:
            StatusError: INVALID_ARGUMENT if outputs cannot be cut into rows.
        """
        document = {"predictions": _rows(outputs)} if self.is_row else {"outputs": _columns(outputs)}
        return json.dumps(document).encode()

    def _from_rows(self, types: Mapping[str, Any]) -> Tensors:
        if not isinstance(self.values, list) or not self.values:
            raise invalid_argument("Expecting 'instances' to be a list/array with at least one value")
        if not _is_named(self.values[0]):
            _check_single(types, "instances is a plain list, but expecting list of objects")
            return _batched(dict.fromkeys(types, self.values), types)
        for position, row in enumerate(self.values):
            if not _is_named(row) or row.keys() != types.keys():
                raise invalid_argument(
                    f"Failed to process element: {position} of 'instances' list. JSON object: {row!r} "
                    f"must only have keys: {','.join(sorted(types))}"
                )
        return _batched({name: [row[name] for row in self.values] for name in types}, types)

    def _from_columns(self, types: Mapping[str, Any]) -> Tensors:
        if not _is_named(self.values):
            _check_single(types, "inputs is a plain value/list, but expecting an object")
            return _batched(dict.fromkeys(types, self.values), types)
        missing = sorted(types.keys() - self.values.keys())
        if missing:
            raise invalid_argument(f"Missing named input: {missing[0]} in 'inputs' object.")
        return _batched({name: self.values[name] for name in types}, types)


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() != {"b64"}


def _check_single(types: Mapping[str, Any], message: str) -> None:
    if len(types) > 1:
        raise invalid_argument(f"{message} as multiple input tensors required as per tensorinfo_map")


def _batched(values: Mapping[str, Any], types: Mapping[str, Any]) -> Tensors:
    tensors: dict[str, Array] = {}
    for name, value in values.items():
        try:
            tensors[name] = array_from_json(value, types[name])
        except StatusError as error:
            raise invalid_argument(f"Failed to process input: {name}. Error: {error.message}") from error
    return tensors


def _columns(outputs: Tensors) -> Any:
    named = {name: json_of(name, array) for name, array in outputs.items()}
    return named if len(named) > 1 else next(iter(named.values()))


def _rows(outputs: Tensors) -> list[Any]:
    sizes = {name: np.shape(array)[:1] for name, array in outputs.items()}
    if len(set(sizes.values())) != 1 or () in sizes.values():
        raise invalid_argument(f"Outputs have inconsistent batch sizes: {sizes}")
    columns = {name: json_of(name, array) for name, array in outputs.items()}
    if len(columns) == 1:
        return list(next(iter(columns.values())))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
