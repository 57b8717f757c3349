from __future__ import annotations

import os
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from pydantic import SecretStr

from ml.connections import MlflowConnection
from ml.errors import Misconfigured, Unavailable
from ml.release.tracking import PASSWORD, SETTINGS, open_mlflow
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


def test_a_server_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(SETTINGS, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    connection = MlflowConnection(uri=f"http://127.0.0.1:{free_port()}")

    with pytest.raises(Unavailable, match=r"Is it running"), open_mlflow(connection) as client:
        client.search_experiments()


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
