from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from ml.connections import ServingConnection
from ml.errors import Misconfigured, Unavailable
from ml.release.rest import RestServer
from tests.demo.process import free_port

MODEL, LABEL = "/v1/models/clicks", "/v1/models/clicks/labels/stable/metadata"


def server_at(address: str) -> RestServer:
    connection = ServingConnection(
        rest=address, grpc="", models_dir=Path(), server_models_dir=Path(), config_file=Path()
    )
    return RestServer(connection, "clicks")


@contextmanager
def answering(answers: dict[str, tuple[int, str]]) -> Iterator[RestServer]:
    """A server that gives fixed answers, in TensorFlow Serving's words."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, '{"error": "Malformed request"}'))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever)
        thread.start()
        with server_at(f"http://127.0.0.1:{http.server_port}") as server:
            yield server
        http.shutdown()
        thread.join()


def test_a_label_is_resolved_to_its_version():
    metadata = '{"model_spec": {"name": "clicks", "signature_name": "", "version": "20261120001"}}'

    with answering({LABEL: (200, metadata)}) as server:
        assert server.labelled_version("stable") == 20261120001


@pytest.mark.parametrize(
    "answers",
    [
        {LABEL: (400, '{"error": "Unrecognized servable version label: stable"}'), MODEL: (200, "{}")},
        {LABEL: (404, '{"error": "Servable not found"}')},
        {LABEL: (400, '{"error": "Unrecognized servable version label: stable"}')},
    ],
    ids=["model without the label", "no model, as a 404", "no model, as a 400"],
)
def test_no_label_means_that_nothing_is_served(answers: dict[str, tuple[int, str]]):
    with answering(answers) as server:
        assert server.labelled_version("stable") is None


def test_a_label_of_a_version_that_is_not_loaded_is_not_taken_for_no_label():
    answers = {
        LABEL: (404, '{"error": "Servable not found for request: Specific(clicks, 3)"}'),
        MODEL: (200, "{}"),
    }

    with answering(answers) as server, pytest.raises(Unavailable, match="names a version that is not loaded"):
        server.labelled_version("stable")


@pytest.mark.parametrize("answer", [(401, "who are you?"), (404, "<h1>no such page</h1>")])
def test_a_server_that_is_no_model_server_is_a_misconfiguration(answer: tuple[int, str]):
    with (
        answering({LABEL: answer, MODEL: answer}) as server,
        pytest.raises(Misconfigured, match="Expected TensorFlow Serving's REST API"),
    ):
        server.labelled_version("stable")


def test_a_server_that_does_not_answer_is_unavailable():
    with (
        server_at(f"http://127.0.0.1:{free_port()}") as server,
        pytest.raises(Unavailable, match="Is it running"),
    ):
        server.labelled_version("stable")
