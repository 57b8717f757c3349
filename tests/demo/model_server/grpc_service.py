"""PredictionService and ModelService over gRPC."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigResponse
from tensorflow_serving.apis.model_service_pb2_grpc import (
    ModelServiceServicer,
    add_ModelServiceServicer_to_server,
)
from tensorflow_serving.apis.predict_pb2 import PredictResponse
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    PredictionServiceServicer,
    add_PredictionServiceServicer_to_server,
)

from tests.demo.model_server.core import ServerCore
from tests.demo.model_server.faults import Faults
from tests.demo.model_server.metrics import Metrics
from tests.demo.model_server.request_log import GrpcRequestLog
from tests.demo.model_server.servable import DEFAULT_SIGNATURE, Servable
from tests.demo.model_server.status import StatusError, invalid_argument
from tests.demo.model_server.tensors import array_of, proto_of

log = logging.getLogger(__name__)

SIGNATURE_DEF = "signature_def"
THREADS = 16
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

Core = ServerCore[Servable]


def model_status(core: Core, spec: Any) -> Any:
    """The GetModelStatusResponse for a ModelSpec, for gRPC and REST.

    Raises:
        StatusError: NOT_FOUND.
    """
    response = GetModelStatusResponse()
    for state in core.states(spec):
        entry = response.model_version_status.add(version=state.version, state=int(state.state))
        entry.status.SetInParent()
        if state.error is not None:
            entry.status.error_code = state.error.number
            entry.status.error_message = state.error.message
    return response


def signature_defs(core: Core, spec: Any) -> tuple[int, Any]:
    """The version that a ModelSpec asks for, and its SignatureDefMap.

    Raises:
        StatusError: see :meth:`ServerCore.find`.
    """
    version, servable = core.find(spec)
    signatures = SignatureDefMap()
    for name, signature in servable.signature_defs.items():
        signatures.signature_def[name].CopyFrom(signature)
    return version, signatures


class PredictionService(PredictionServiceServicer):  # type: ignore[misc]
    """Predict and GetModelMetadata; the other calls answer UNIMPLEMENTED."""

    def __init__(self, core: Core, metrics: Metrics, faults: Faults) -> None:
        self._core = core
        self._metrics = metrics
        self._faults = faults

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - the proto's name
        """Run a signature of a version."""
        model, started = request.model_spec.name, time.perf_counter()
        try:
            response = self._predict(request)
        except StatusError as error:
            self._metrics.count(model, error.code.name)
            _abort(context, error)
        self._metrics.count(model, "OK")
        self._metrics.time(model, "Predict", "GRPC", time.perf_counter() - started)
        return response

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Describe the signatures of a version."""
        return _answered(context, lambda: self._metadata(request))

    def _refuse(self, _: Any, context: grpc.ServicerContext) -> Any:
        message = "The stand-in implements Predict and GetModelMetadata only."
        _abort(context, StatusError(grpc.StatusCode.UNIMPLEMENTED, message))

    Classify = Regress = MultiInference = _refuse

    def _predict(self, request: Any) -> Any:
        _check_spec(request)
        version, servable = self._core.find(request.model_spec)
        if request.model_spec.version_label:
            self._faults.strike(version)
        inputs = {name: array_of(name, proto) for name, proto in request.inputs.items()}
        signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        response = PredictResponse()
        for name, array in servable.predict(signature_name, inputs, request.output_filter).items():
            response.outputs[name].CopyFrom(proto_of(array))
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        response.model_spec.signature_name = signature_name
        return response

    def _metadata(self, request: Any) -> Any:
        _check_spec(request)
        if list(request.metadata_field) != [SIGNATURE_DEF]:
            raise invalid_argument(f"metadata_field must be [{SIGNATURE_DEF!r}]: no other is supported")
        response = GetModelMetadataResponse()
        version, signatures = signature_defs(self._core, request.model_spec)
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response


class ModelService(ModelServiceServicer):  # type: ignore[misc]
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Tell the state of each version."""
        return _answered(context, lambda: self._status(request))

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Serve another config; see :meth:`ServerCore.reload`."""
        return _answered(context, lambda: self._reload(request.config))

    def _status(self, request: Any) -> Any:
        _check_spec(request)
        return model_status(self._core, request.model_spec)

    def _reload(self, config: Any) -> Any:
        if config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        self._core.reload(config)
        response = ReloadConfigResponse()
        response.status.SetInParent()
        return response


def start_grpc(
    core: Core, metrics: Metrics, address: str, faults: Faults | None = None, log_requests: bool = False
) -> grpc.Server:
    """Start to answer on ``host:port``; each request has a line in the log if it is wished.

    Raises:
        RuntimeError: if the port is taken.
    """
    options, interceptors = [*UNLIMITED, ("grpc.so_reuseport", 0)], [GrpcRequestLog()] if log_requests else []
    server = grpc.server(ThreadPoolExecutor(THREADS), interceptors=interceptors, options=options)
    add_PredictionServiceServicer_to_server(PredictionService(core, metrics, faults or Faults()), server)
    add_ModelServiceServicer_to_server(ModelService(core), server)
    server.add_insecure_port(address)
    server.start()
    log.info("Running gRPC ModelServer stand-in at %s", address)
    return server


def _check_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")


def _answered(context: grpc.ServicerContext, answer: Callable[[], Any]) -> Any:
    try:
        return answer()
    except StatusError as error:
        _abort(context, error)


def _abort(context: grpc.ServicerContext, error: StatusError) -> NoReturn:
    context.abort(error.code, error.message)
    raise AssertionError("abort always raises")
