from __future__ import annotations

import os

import pytest
from pydantic import SecretStr

from ml.connections import MlflowConnection
from ml.errors import Unavailable
from ml.release.tracking import PASSWORD, SETTINGS, open_mlflow
from tests.demo.process import free_port


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
