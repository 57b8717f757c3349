"""Reads the two text protos that tensorflow_model_server takes, and checks a model config as it does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tests.demo.model_server.status import invalid_argument

DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"
STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
BOOL = descriptor_pb2.FieldDescriptorProto.TYPE_BOOL
MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE


def read_model_server_config(path: Path) -> Any:
    """The ModelServerConfig in a text proto.

    Raises:
        StatusError: INVALID_ARGUMENT if the file is missing, empty or no such proto.
    """
    return _parse(path, ModelServerConfig())


def single_model_config(name: str, base_path: str) -> Any:
    """What --model_name and --model_base_path stand for."""
    config = ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform="tensorflow")
    return config


def read_metrics_path(path: Path) -> str | None:
    """The path that the metrics are served below, or None if the MonitoringConfig does not enable them.

    Raises:
        StatusError: see :func:`read_model_server_config`.
    """
    prometheus = _parse(path, _monitoring_config()).prometheus_config
    return (prometheus.path or DEFAULT_METRICS_PATH) if prometheus.enable else None


def check_models(models: Sequence[Any]) -> None:
    """Check what can be checked without the file system.

    Raises:
        StatusError: INVALID_ARGUMENT for a name listed twice, a relative path or an unknown platform.
    """
    names: set[str] = set()
    for model in models:
        if model.name in names:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
        if not model.base_path.startswith("/"):
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or URI; "
                f"got base_path()={model.base_path}"
            )
        if model.model_platform != "tensorflow":
            raise invalid_argument(
                f"Model {model.name} requests unsupported platform {model.model_platform!r}; "
                "expected 'tensorflow'"
            )


def _parse(path: Path, message: Any) -> Any:
    try:
        text = path.read_text()
        if not text:
            raise invalid_argument(f"{path} is empty: it may be half-written")
        return text_format.Parse(text, message)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise invalid_argument(f"Invalid protobuf file: '{path}' ({error})") from error


def _monitoring_config() -> Any:
    """An empty tensorflow.serving.MonitoringConfig, which tensorflow-serving-api leaves out."""
    file = descriptor_pb2.FileDescriptorProto(
        name="model_server_stand_in/monitoring_config.proto", package="model_server_stand_in", syntax="proto3"
    )
    prometheus = file.message_type.add(name="PrometheusConfig")
    prometheus.field.add(name="enable", number=1, type=BOOL, label=1)
    prometheus.field.add(name="path", number=2, type=STRING, label=1)
    monitoring = file.message_type.add(name="MonitoringConfig")
    monitoring.field.add(
        name="prometheus_config",
        number=1,
        type=MESSAGE,
        label=1,
        type_name=".model_server_stand_in.PrometheusConfig",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName("model_server_stand_in.MonitoringConfig")
    return message_factory.GetMessageClass(descriptor)()
