"""Talks to a model server, the stand-in or the real one, in the words of the contract tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
import httpx
import tensorflow as tf
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from tests.integration.scoring_model import tensor_inputs

CALL_SECONDS = 60
LOAD_SECONDS = 60
POLL_SECONDS = 0.05

T = TypeVar("T")


def eventually(observe: Callable[[], T], holds: Callable[[T], bool]) -> T:
    """Observe until what is seen holds, and return it; fail with the last sight of it."""
    deadline = time.monotonic() + LOAD_SECONDS
    while not holds(seen := observe()):
        assert time.monotonic() < deadline, f"after {LOAD_SECONDS} s still: {seen}"
        time.sleep(POLL_SECONDS)
    return seen


@dataclass(frozen=True)
class Client:
    """The two APIs of a model server.

    Attributes:
        grpc_address: ``host:port``.
        rest_address: ``http://host:port``.
    """

    grpc_address: str
    rest_address: str
    _channel: grpc.Channel = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_channel", grpc.insecure_channel(self.grpc_address))

    def close(self) -> None:
        self._channel.close()

    def reload(self, *models: Any) -> None:
        request = ReloadConfigRequest()
        request.config.model_config_list.config.extend(models)
        if not models:
            request.config.model_config_list.SetInParent()
        ModelServiceStub(self._channel).HandleReloadConfigRequest(request, timeout=CALL_SECONDS)

    def predict(self, spec: Any, inputs: Mapping[str, Any] | None = None, outputs: Sequence[str] = ()) -> Any:
        request = PredictRequest(model_spec=spec, output_filter=outputs)
        for name, proto in (tensor_inputs() if inputs is None else inputs).items():
            request.inputs[name].CopyFrom(proto)
        return PredictionServiceStub(self._channel).Predict(request, timeout=CALL_SECONDS)

    def scores(self, spec: Any, inputs: Mapping[str, Any] | None = None) -> list[list[float]]:
        answer: list[list[float]] = tf.make_ndarray(self.predict(spec, inputs).outputs["score"]).tolist()
        return answer

    def signatures(self, spec: Any) -> tuple[Any, Any]:
        """The ModelSpec that was answered, and the SignatureDefs by name."""
        request = GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        response = PredictionServiceStub(self._channel).GetModelMetadata(request, timeout=CALL_SECONDS)
        signatures = SignatureDefMap()
        assert response.metadata["signature_def"].Unpack(signatures)
        return response.model_spec, signatures.signature_def

    def statuses(self, spec: Any) -> dict[int, Any]:
        """The ModelVersionStatus of each version."""
        request = GetModelStatusRequest(model_spec=spec)
        response = ModelServiceStub(self._channel).GetModelStatus(request, timeout=CALL_SECONDS)
        return {status.version: status for status in response.model_version_status}

    def states(self, model: str) -> dict[int, str]:
        """The names of the states of all versions; empty for a model that was never known."""
        try:
            statuses = self.statuses(ModelSpec(name=model))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return {}
        return {version: ModelVersionStatus.State.Name(each.state) for version, each in statuses.items()}

    def wait_for_states(self, model: str, expected: Mapping[int, str]) -> None:
        eventually(lambda: self.states(model), lambda seen: seen == expected)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.rest_address}{path}", timeout=CALL_SECONDS)

    def post(self, path: str, document: Any) -> httpx.Response:
        """Post a document as JSON, or bytes as they are."""
        body = {"content": document} if isinstance(document, bytes) else {"json": document}
        return httpx.post(f"{self.rest_address}{path}", timeout=CALL_SECONDS, **body)


@dataclass(frozen=True)
class ModelDirectory:
    """A model of one test's own.

    Attributes:
        name: of the model.
        path: its base path as the test sees it.
        server_path: its base path as the server sees it.
    """

    name: str
    path: Path
    server_path: Path

    def config(self, *versions: int, labels: Mapping[str, int] | None = None, **changes: Any) -> Any:
        """A ModelConfig that asks for these versions, or without any for the highest."""
        config = ModelConfig(name=self.name, base_path=str(self.server_path), model_platform="tensorflow")
        config.model_version_policy.specific.versions.extend(versions)
        if not versions:
            config.ClearField("model_version_policy")
        for label, version in (labels or {}).items():
            config.version_labels[label] = version
        config.MergeFrom(ModelConfig(**changes))
        return config

    def spec(self, version: int | None = None, label: str | None = None, signature: str = "") -> Any:
        """A ModelSpec."""
        spec = ModelSpec(name=self.name, signature_name=signature)
        if version is not None:
            spec.version.value = version
        if label is not None:
            spec.version_label = label
        return spec
