"""The model server over gRPC: states of versions, the reload of its config, and predictions.

The messages of ``tensorflow_serving.apis`` import TensorFlow, which takes seconds. So each is imported by the
method that needs it, and the reload, which is all that a roll-back needs, does without.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import grpc
import numpy as np
from google.protobuf.wrappers_pb2 import BytesValue
from google.rpc.status_pb2 import Status
from tenacity import RetryError, Retrying, retry_if_exception_type, retry_if_result, stop_after_delay
from tenacity.wait import wait_exponential
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from ml.connections import ServingConnection
from ml.errors import RetrainingError, Unavailable
from ml.release.failures import LoadFailed, NotServable

if TYPE_CHECKING:
    from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
TIMEOUT_SECONDS = 30.0
# A failure of an earlier try stays in the states until the server has looked at its directories again,
# once a second by default.
OLD_NEWS_SECONDS = 5.0
NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

Columns = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class VersionState:
    """Where a version stands.

    Attributes:
        name: START, LOADING, AVAILABLE, UNLOADING or END.
        error: the server's message; empty if there is none.
    """

    name: str
    error: str

    @property
    def failed(self) -> bool:
        """Whether loading was given up."""
        return self.name == "END" and bool(self.error)


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

    def states(self) -> dict[int, VersionState]:
        """Version → state, of all versions that the server has heard of."""
        from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest

        request = GetModelStatusRequest()
        request.model_spec.name = self._model
        try:
            response = self._models.GetModelStatus(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return {}
            raise self._translated(error) from error
        return {status.version: _state(status) for status in response.model_version_status}

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

    def await_available(self, version: int, seconds: float, before: VersionState | None) -> None:
        """Wait until a version is AVAILABLE.

        Args:
            version: which.
            seconds: how long at most.
            before: its state before it was asked for. The failure of an earlier try is not this one's.

        Raises:
            LoadFailed: with the server's message, if it gives up.
            Unavailable: if it takes longer.
        """
        started = time.monotonic()

        def is_available() -> bool:
            state = self.states().get(version)
            if state and state.failed and (state != before or time.monotonic() > started + OLD_NEWS_SECONDS):
                raise self._load_failed(version, state)
            return state is not None and state.name == "AVAILABLE"

        retrying = Retrying(
            stop=stop_after_delay(seconds),
            wait=wait_exponential(0.05, max=1.0),
            retry=retry_if_result(lambda available: not available) | retry_if_exception_type(Unavailable),
        )
        try:
            retrying(is_available)
        except RetryError as error:
            raise Unavailable(
                f"version {version} of {self._model} was not AVAILABLE after {seconds:g} s; the model "
                f"server at {self._address} has {self._described()}. Look at its log, or raise "
                "serving.ready_seconds."
            ) from error

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
    def _models(self) -> Any:
        from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub

        return ModelServiceStub(self._channel)

    @cached_property
    def _predictions(self) -> Any:
        from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

        return PredictionServiceStub(self._channel)

    @cached_property
    def _reload(self) -> Callable[..., Any]:
        call: Callable[..., Any] = self._channel.unary_unary(RELOAD)
        return call

    def _load_failed(self, version: int, state: VersionState) -> LoadFailed:
        return LoadFailed(
            f"the model server at {self._address} could not load version {version} of {self._model}: "
            f"{state.error}. Users are still answered by the version before. Mend the model, or give the "
            "server what it lacks."
        )

    def _described(self) -> str:
        try:
            states = self.states()
        except RetrainingError as error:
            return f"not answered ({error})"
        return ", ".join(f"{version} {state.name}" for version, state in sorted(states.items())) or "none"

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


def _state(status: ModelVersionStatus) -> VersionState:
    from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

    error = status.status.error_message if status.status.error_code else ""
    return VersionState(ModelVersionStatus.State.Name(status.state), error)
