"""One loaded version of a model: a SavedModel in a session of its own, as TensorFlow Serving holds it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tests.demo.model_server.status import StatusError, failed_precondition, invalid_argument
from tests.demo.model_server.tensors import Tensors, array_of

log = logging.getLogger(__name__)

DEFAULT_SIGNATURE = "serving_default"
PREDICT_METHOD = "tensorflow/serving/predict"
WARM_UP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_WARM_UP_RECORDS = 1000


@dataclass(frozen=True)
class Signature:
    """A signature of the model and its ends in the graph.

    Attributes:
        inputs: placeholders by the names that requests use.
        outputs: tensors by the names that responses use.
    """

    inputs: dict[str, Any]
    outputs: dict[str, Any]


class Servable:
    """A version that is ready to answer. Any number of threads may ask it at once.

    Attributes:
        signature_defs: the model's SignatureDefs by name, as they were saved.
    """

    def __init__(self, session: Any, signature_defs: Mapping[str, Any]) -> None:
        self.signature_defs = signature_defs
        self._session = session
        self._signatures = {
            name: Signature(_tensors(session, signature.inputs), _tensors(session, signature.outputs))
            for name, signature in signature_defs.items()
            if signature.method_name == PREDICT_METHOD
        }

    @classmethod
    def load(cls, path: Path, warm_up: bool = True) -> Self:
        """Load the SavedModel in ``path``, and send it its warm-up requests, if it has some.

        Raises:
            Exception: whatever TensorFlow raises for a broken SavedModel; StatusError for a warm-up request
                that fails.
        """
        session = tf.compat.v1.Session(graph=tf.Graph())
        with session.graph.as_default():
            meta_graph = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], str(path))
        servable = cls(session, dict(meta_graph.signature_def))
        if warm_up and (path / WARM_UP_FILE).exists():
            servable._warm_up(path / WARM_UP_FILE)
        return servable

    def predict(self, signature_name: str, inputs: Tensors, output_filter: Collection[str] = ()) -> Tensors:
        """Run a signature.

        Args:
            signature_name: by default "serving_default".
            inputs: all inputs of the signature, no other.
            output_filter: the outputs wanted; by default all.

        Returns:
            The outputs by name.

        Raises:
            StatusError: FAILED_PRECONDITION for an unknown signature; INVALID_ARGUMENT for inputs that do not
                fit it; the model's own code if it fails.
        """
        signature = self._signature(signature_name)
        _check_names(signature, inputs)
        wanted = _filtered(signature.outputs, output_filter)
        feed = {tensor: _checked(name, inputs[name], tensor) for name, tensor in signature.inputs.items()}
        try:
            outputs: Tensors = self._session.run(wanted, feed_dict=feed)
        except tf.errors.OpError as error:
            raise StatusError.of(error) from error
        return outputs

    def _signature(self, name: str) -> Signature:
        try:
            return self._signatures[name or DEFAULT_SIGNATURE]
        except KeyError:
            raise failed_precondition(
                f'Serving signature key "{name or DEFAULT_SIGNATURE}" not found.'
            ) from None

    def _warm_up(self, file: Path) -> None:
        count = 0
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            count += 1
            if count > MAX_WARM_UP_RECORDS:
                raise invalid_argument(
                    f"Number of warmup records exceeds the maximum ({MAX_WARM_UP_RECORDS}) at {file}"
                )
            self._replay(_prediction_log(record, file))
        log.info("Sent %d warm-up requests from %s", count, file)

    def _replay(self, record: Any) -> None:
        kind = record.WhichOneof("log_type")
        if kind == "predict_log":
            request = record.predict_log.request
            inputs = {name: array_of(name, proto) for name, proto in request.inputs.items()}
            self.predict(request.model_spec.signature_name, inputs, request.output_filter)
        elif kind is not None:
            raise StatusError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")


def _prediction_log(record: bytes, file: Path) -> Any:
    try:
        return PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid_argument(f"Failed to parse warmup record: {record!r} from {file}") from error


def _tensors(session: Any, infos: Mapping[str, Any]) -> dict[str, Any]:
    return {name: session.graph.get_tensor_by_name(info.name) for name, info in infos.items()}


def _check_names(signature: Signature, inputs: Tensors) -> None:
    expected, sent = set(signature.inputs), set(inputs)
    if expected != sent:
        raise invalid_argument(
            f"input size does not match signature: {len(sent)}!={len(expected)} "
            f"len({{{_listed(sent)}}}) != len({{{_listed(expected)}}}). "
            f"Sent extra: {{{_listed(sent - expected)}}}. "
            f"Missing but required: {{{_listed(expected - sent)}}}."
        )


def _listed(names: Collection[str]) -> str:
    return ",".join(sorted(names))


def _filtered(outputs: Mapping[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    for name in wanted:
        if name not in outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {{{_listed(outputs)}}}."
            )
    if len(set(wanted)) < len(wanted):
        raise invalid_argument(f"duplicate output tensor alias in: {_listed(wanted)}")
    return {name: outputs[name] for name in wanted or outputs}


def _checked(name: str, array: np.ndarray[Any, Any], tensor: Any) -> np.ndarray[Any, Any]:
    """The array, if it fits: session.run would cast a wrong type without a word."""
    expected = tensor.dtype.as_numpy_dtype
    if array.dtype != expected or not tensor.shape.is_compatible_with(array.shape):
        raise invalid_argument(
            f"Input {name} has type {tf.as_dtype(array.dtype).name} and shape {list(array.shape)}, "
            f"expected {tensor.dtype.name} and {tensor.shape}"
        )
    return array
