"""The model server over gRPC: the reload of its config, which REST does not know, and predictions.

The messages of ``tensorflow_serving.apis`` import TensorFlow, which takes seconds. So they are imported by
what needs them, and the reload, which is all that going back and promoting need, does without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import grpc
import numpy as np
from google.protobuf.wrappers_pb2 import BytesValue
from google.rpc.status_pb2 import Status
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from ml.connections import ServingConnection
from ml.errors import RetrainingError, Unavailable
from ml.release.failures import NotServable

if TYPE_CHECKING:
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
TIMEOUT_SECONDS = 30.0
NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

Columns = Mapping[str, np.ndarray[Any, Any]]


class RpcServer:
    """One model on one model server."""

    def __init__(self, connection: ServingConnection, model: str) -> None:
        self._address = connection.grpc
        self._model = model
        self._channel = grpc.insecure_channel(connection.grpc)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def reload(self, config: ModelServerConfig, seconds: float = TIMEOUT_SECONDS) -> None:
        """Make this config the whole truth. The server waits for models that are new, but not for versions.

        Raises:
            Unavailable: if it does not answer within ``seconds``.
            NotServable: if it refuses the config, or cannot load a new model.
        """
        answer = self._call(self._reload, reload_request(config), seconds)
        status = Status.FromString(BytesValue.FromString(answer).value)
        if status.code:
            raise NotServable(
                f"the model server at {self._address} refused its new config: {status.message}. Compare what "
                "it says with the config file."
            )

    def predict(self, version: int, columns: Columns) -> np.ndarray[Any, Any]:
        """Scores of rows, asked of a version by its number.

        Args:
            version: must be loaded.
            columns: input name → [n].

        Returns:
            float32 [n].

        Raises:
            Unavailable: if the server does not answer.
            NotServable: if it refuses the request.
        """
        import tensorflow as tf

        request = predict_request(self._model, columns)
        request.model_spec.version.value = version
        response = self._call(self._predictions.Predict, request, TIMEOUT_SECONDS)
        (output,) = response.outputs.values()
        return np.asarray(tf.make_ndarray(output)).reshape(-1)

    @cached_property
    def _predictions(self) -> Any:
        from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

        return PredictionServiceStub(self._channel)

    @cached_property
    def _reload(self) -> Callable[..., Any]:
        call: Callable[..., Any] = self._channel.unary_unary(RELOAD)
        return call

    def _call(self, method: Callable[..., Any], request: Any, seconds: float) -> Any:
        try:
            return method(request, timeout=seconds)
        except grpc.RpcError as error:
            raise self._translated(error) from error

    def _translated(self, error: grpc.RpcError) -> RetrainingError:
        if error.code() in NO_ANSWER:
            return Unavailable(
                f"the model server at {self._address} did not answer over gRPC ({error.details()}). Is it "
                "running, and is the serving connection right?"
            )
        return NotServable(
            f"the model server at {self._address} refused a request for {self._model}: {error.code().name}: "
            f"{error.details()}. Compare what it says with its config and the model's signature."
        )


def reload_request(config: ModelServerConfig) -> bytes:
    """The bytes of a ``ReloadConfigRequest``, whose one field is the config.

    In protobuf's encoding a message within a message is a length and bytes, as a field of type ``bytes`` is.
    Likewise the answer's ``StatusProto`` has the fields of ``google.rpc.Status``.
    """
    return bytes(BytesValue(value=config.SerializeToString()).SerializeToString())


def predict_request(model: str, columns: Columns) -> PredictRequest:
    """A request of ``serving_default`` for some rows; input name → [n]."""
    import tensorflow as tf
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

    request = PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "serving_default"
    for name, values in columns.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return request
