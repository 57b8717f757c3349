from __future__ import annotations

import os
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from pydantic import SecretStr

from ml.connections import MlflowConnection
from ml.errors import Misconfigured, Unavailable
from ml.release.tracking import PASSWORD, PATIENCE, SECONDS, Patience, open_mlflow
from tests.demo.ports import free_port


def test_credentials_are_in_the_environment_for_the_time_of_the_block_only(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(PASSWORD, raising=False)
    connection = MlflowConnection(uri="http://127.0.0.1:1", username="ann", password=SecretStr("secret"))

    with open_mlflow(connection):
        assert os.environ[PASSWORD] == "secret"

    assert PASSWORD not in os.environ


def test_what_the_environment_held_before_is_put_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(PASSWORD, "mine")
    connection = MlflowConnection(uri="http://127.0.0.1:1", username="ann", password=SecretStr("secret"))

    with pytest.raises(KeyError), open_mlflow(connection):
        raise KeyError

    assert os.environ[PASSWORD] == "mine"


def test_a_server_that_is_not_there_is_unavailable():
    connection = MlflowConnection(uri=f"http://127.0.0.1:{free_port()}")

    with pytest.raises(Unavailable, match=r"Is it running"), open_mlflow(connection, "none") as client:
        client.search_experiments()


@pytest.mark.parametrize(("patience", "questions"), [("none", 1), ("short", 2)])
def test_a_server_that_hangs_is_asked_as_often_as_patience_lasts_and_is_unavailable_then(
    patience: Patience, questions: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(PATIENCE[patience], SECONDS, "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        connection = MlflowConnection(uri=f"http://{host}:{port}")

        with pytest.raises(Unavailable, match=r"Is it running"), open_mlflow(connection, patience) as client:
            client.search_experiments()

        assert len(list(waiting_connections(silent))) == questions


def waiting_connections(server: socket.socket) -> Iterator[tuple[str, int]]:
    """Who has connected and was not served yet."""
    server.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            connection, address = server.accept()
            connection.close()
            yield address


def test_refused_credentials_are_a_misconfiguration_and_are_not_shown():
    seen: list[str] = []

    class Doorkeeper(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Doorkeeper) as http:
        thread = Thread(target=http.serve_forever)
        thread.start()
        uri = f"http://127.0.0.1:{http.server_port}"
        connection = MlflowConnection(uri=uri, username="ann", password=SecretStr("secret"))
        with (
            pytest.raises(Misconfigured, match="user name and password") as refused,
            open_mlflow(connection) as client,
        ):
            client.search_experiments()
        http.shutdown()
        thread.join()

    assert seen == [f"Basic {b64encode(b'ann:secret').decode()}"]
    assert "secret" not in str(refused.value)
