"""The stand-in as a process: its config file, its start and its end."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.demo.model_server.process import ModelServerProcess, running_model_server
from tests.demo.ports import free_port
from tests.demo.process import ManagedProcess, ProcessFailed
from tests.integration.scoring_model import copied_into_place, save_scoring_model
from tests.integration.serving_client import Client, ModelDirectory, eventually

pytestmark = pytest.mark.integration

NOTHING = "model_config_list {}"
END_SECONDS = 120.0


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model"
    save_scoring_model(path, slope=1.0)
    return path


@pytest.fixture
def model(tmp_path) -> ModelDirectory:
    path = tmp_path / "clicks"
    path.mkdir()
    return ModelDirectory("clicks", path, path)


@pytest.fixture
def config_file(tmp_path) -> Path:
    file = tmp_path / "models.config"
    file.write_text(NOTHING)
    return file


@pytest.fixture
def log(tmp_path) -> Path:
    return tmp_path / "server.log"


def listing(model: ModelDirectory, *versions: int, **settings: object) -> str:
    return f"model_config_list {{ config {{ {model.config(*versions, **settings)} }} }}"


@pytest.fixture
def server(config_file, log) -> Iterator[ModelServerProcess]:
    with running_model_server(config_file, log, ["--model_config_file_poll_wait_seconds=0.1"]) as server:
        yield server


@pytest.fixture
def client(server) -> Iterator[Client]:
    client = Client(server.grpc, server.rest)
    yield client
    client.close()


def test_the_config_file_is_followed_and_a_broken_one_changes_nothing(
    client, config_file, model, saved_model, log
):
    copied_into_place(saved_model, model.path, 1)
    config_file.write_text(listing(model))
    client.wait_for_states("clicks", {1: "AVAILABLE"})

    for broken in ("", "model_config_list {"):
        config_file.write_text(broken)
        eventually(
            log.read_text, lambda text, broken=broken: ("is empty" if not broken else "Invalid") in text
        )
    assert client.states("clicks") == {1: "AVAILABLE"}

    config_file.write_text(NOTHING)
    client.wait_for_states("clicks", {1: "END"})


def test_it_says_what_it_is_listens_on_loopback_has_no_metrics_unless_asked_and_stops_cleanly(server, log):
    assert "It is not TensorFlow Serving." in log.read_text()
    assert server.grpc.startswith("127.0.0.1:")
    assert httpx.get(f"{server.rest}/monitoring/prometheus/metrics").status_code == 404

    server.process.stop(END_SECONDS)

    assert server.process.wait(timeout=0) == 0


def test_it_opens_no_port_before_its_models_answer_and_stops_cleanly_even_then(config_file, model, log):
    config_file.write_text(listing(model))
    argv = [sys.executable, "-m", "tests.demo.model_server", f"--port={free_port()}"]
    argv.append(f"--model_config_file={config_file}")

    with ManagedProcess("model server", argv, log) as server:
        server.wait_until(lambda: "No version to serve" in server.tail(), timeout=120)
        assert "Running gRPC" not in log.read_text()
        server.stop(END_SECONDS)

    assert server.wait(timeout=0) == 0


def test_it_starts_again_from_a_config_with_labels(config_file, model, saved_model, log):
    copied_into_place(saved_model, model.path, 1)
    config_file.write_text(listing(model, 1, labels={"stable": 1}))

    with running_model_server(config_file, log) as server:
        client = Client(server.grpc, server.rest)
        assert client.predict(model.spec(label="stable")).model_spec.version.value == 1
        client.close()


def test_a_taken_port_is_an_error_at_the_start(config_file, log):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        flags = [f"--port={taken.getsockname()[1]}"]
        with (
            pytest.raises(ProcessFailed, match=r"ended with exit code 1(.|\n)*Not serving"),
            running_model_server(config_file, log, flags),
        ):
            pytest.fail("the server must not start")
