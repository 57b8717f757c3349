from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from ml.connections import ServingConnection
from ml.errors import Misconfigured, Unavailable
from ml.release.failures import LoadFailed
from ml.release.rest import RestServer, VersionState
from tests.demo.ports import free_port

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


def status(version: int, state: str, code: str = "OK", message: str = "") -> dict[str, object]:
    """Of one version, as TensorFlow Serving writes it."""
    return {"version": str(version), "state": state, "status": {"error_code": code, "error_message": message}}


def listing(*statuses: dict[str, object]) -> tuple[int, str]:
    return 200, json.dumps({"model_version_status": statuses})


def test_the_states_of_all_versions_are_read():
    loaded, lost = status(1, "AVAILABLE"), status(2, "END", "NOT_FOUND", "no saved_model.pb")

    with answering({MODEL: listing(loaded, lost)}) as server:
        assert server.states() == {
            1: VersionState("AVAILABLE", ""),
            2: VersionState("END", "no saved_model.pb"),
        }
        assert [server.is_available(version) for version in (1, 2, 3)] == [True, False, False]


def test_a_model_that_the_server_does_not_know_has_no_versions():
    with answering({MODEL: (404, '{"error": "Could not find any versions of model clicks"}')}) as server:
        assert server.states() == {}


def test_a_load_that_the_server_has_given_up_fails_with_the_servers_words():
    failed = status(2, "END", "NOT_FOUND", "no saved_model.pb")

    with (
        answering({MODEL: listing(failed)}) as server,
        pytest.raises(LoadFailed, match=r"no saved_model\.pb"),
    ):
        server.await_available(2, seconds=30, before=VersionState("LOADING", ""))


def test_who_waits_in_vain_is_told_what_the_server_has():
    with (
        answering({MODEL: listing(status(1, "AVAILABLE"), status(2, "LOADING"))}) as server,
        pytest.raises(Unavailable, match=r"2 of clicks was not AVAILABLE .* has 1 AVAILABLE, 2 LOADING"),
    ):
        server.await_available(2, seconds=0.1, before=None)
