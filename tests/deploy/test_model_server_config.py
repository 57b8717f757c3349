"""What the model server is given: its two files, its flags and its health check."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tests.deploy.conftest import ROOT, mounts

Services = dict[str, dict[str, Any]]
SERVERS = ("tensorflow-serving", "tensorflow-serving-canary", "tensorflow-serving-scratch")
EMPTY_CONFIG = "/opt/retraining/deploy/serving/models.config"
METRICS_PATH = "/monitoring/prometheus/metrics"
MONITORING_PROTO = """
    name: "monitoring_config.proto" package: "tensorflow.serving" syntax: "proto3"
    message_type {
      name: "PrometheusConfig"
      field { name: "enable" number: 1 type: TYPE_BOOL label: LABEL_OPTIONAL }
      field { name: "path" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
    }
    message_type {
      name: "MonitoringConfig"
      field {
        name: "prometheus_config" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL
        type_name: ".tensorflow.serving.PrometheusConfig"
      }
    }
"""


@pytest.fixture
def monitoring_config() -> Message:
    """An empty MonitoringConfig: the stubs' package leaves this one proto of the model server out."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(MONITORING_PROTO, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("tensorflow.serving.MonitoringConfig")
    )()


@pytest.fixture
def metrics_server() -> Iterator[HTTPServer]:
    """Answers where the model server has its metrics, and nowhere else."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200 if self.path == METRICS_PATH else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_starts_with_an_empty_list_of_models() -> None:
    config = text_format.Parse((ROOT / "deploy/serving/models.config").read_text(), ModelServerConfig())

    assert config.WhichOneof("config") == "model_config_list"
    assert not config.model_config_list.config


def test_its_metrics_are_where_the_health_check_asks_for_them(
    services: Services, monitoring_config: Message
) -> None:
    config = text_format.Parse((ROOT / "deploy/serving/monitoring.config").read_text(), monitoring_config)
    probe = services["tensorflow-serving"]["healthcheck"]["test"][-1]

    assert config.prometheus_config.enable
    assert f"GET {config.prometheus_config.path} " in probe


@pytest.mark.parametrize("name", SERVERS)
def test_its_flags_name_files_that_are_mounted(services: Services, name: str) -> None:
    service = services[name]
    flags = dict(flag.removeprefix("--").split("=") for flag in service["command"])

    assert flags["model_config_file"].startswith(tuple(mounts(service)))
    assert flags["monitoring_config_file"] in mounts(service)
    # By default the server never reads its config file again.
    assert int(flags["model_config_file_poll_wait_seconds"]) > 0


def test_the_servers_differ_in_their_config_file_only_and_users_reach_one_of_them(services: Services) -> None:
    commands = [set(services[name]["command"]) for name in SERVERS]
    shared = set.intersection(*commands)

    assert [command - shared for command in commands] == [
        {"--model_config_file=/models/models.config"},
        {"--model_config_file=/models/canary.config"},
        {"--model_config_file=/scratch/models.config"},
    ]
    assert len({services[name]["image"] for name in SERVERS}) == 1
    assert [name for name in SERVERS if "ports" in services[name]] == ["tensorflow-serving"]


def test_every_server_finds_a_config_file_on_its_first_start(services: Services) -> None:
    script = (ROOT / "deploy/prepare_volumes.sh").read_text()
    seeded = set(re.findall(r"/\S+\.config(?=[ ;])", script)) - {EMPTY_CONFIG}
    flags = {flag for name in SERVERS for flag in services[name]["command"]}

    assert {f"--model_config_file={file}" for file in seeded} <= flags
    assert len(seeded) == len(SERVERS)


def test_the_bundle_and_the_server_share_one_directory(services: Services) -> None:
    writer, reader = services["airflow-scheduler"], services["tensorflow-serving"]

    assert mounts(writer)["/models"] == ("models", "rw")
    assert mounts(reader)["/models"] == ("models", "ro")


@pytest.mark.parametrize(("path", "healthy"), [(METRICS_PATH, True), ("/elsewhere", False)])
def test_the_health_check_believes_a_200_only(
    services: Services, metrics_server: HTTPServer, path: str, healthy: bool
) -> None:
    probe = services["tensorflow-serving"]["healthcheck"]["test"][1:]
    here = probe[-1].replace("127.0.0.1/8501", f"127.0.0.1/{metrics_server.server_port}")

    checked = subprocess.run([*probe[:-1], here.replace(METRICS_PATH, path)], check=False, timeout=30)

    assert (checked.returncode == 0) is healthy


def test_the_health_check_fails_while_nothing_listens(services: Services, metrics_server: HTTPServer) -> None:
    metrics_server.shutdown()
    metrics_server.server_close()
    probe = services["tensorflow-serving"]["healthcheck"]["test"][1:]
    here = probe[-1].replace("127.0.0.1/8501", f"127.0.0.1/{metrics_server.server_port}")

    checked = subprocess.run([*probe[:-1], here], capture_output=True, check=False, timeout=30)

    assert checked.returncode != 0
