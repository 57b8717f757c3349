"""What the tests of this folder share: servers that are started once for all files of a worker.

Whoever uses them has a pipeline, a model or a topic of a name of its own. Files with worlds of another kind
define fixtures of the same names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ml.config import Pipeline
from ml.connections import MlflowConnection, ServingConnection
from ml.pipelines import load_pipeline
from tests.demo.stack import Services, running_services
from tests.integration.publishing import save_models
from tests.integration.release_world import World


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A broker, an MLflow and a model server."""
    with running_services(tmp_path_factory.mktemp("services")) as services:
        yield services


@pytest.fixture(scope="session")
def mlflow(services: Services) -> MlflowConnection:
    return MlflowConnection(uri=services.mlflow)


@pytest.fixture
def client(mlflow: MlflowConnection) -> MlflowClient:
    return MlflowClient(mlflow.uri)


@pytest.fixture
def pipeline(request: pytest.FixtureRequest) -> Pipeline:
    """The clicks pipeline under a name of the test's own, and so with an experiment of its own."""
    clicks = load_pipeline("clicks")
    name = f"clicks_{abs(hash(request.node.name))}"
    serving = clicks.serving.model_copy(update={"model": name})
    return clicks.model_copy(update={"name": name, "serving": serving})


@pytest.fixture
def topic_name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A topic's name of the test's own, which the clicks pipeline reads."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    monkeypatch.setenv("RETRAIN_CLICKS__LANDING__TOPIC", name)
    return name


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models to publish: see `save_models`."""
    folder = tmp_path_factory.mktemp("saved_models")
    save_models(folder)
    return folder


@pytest.fixture(scope="session")
def world(services: Services, mlflow: MlflowConnection, saved_models: Path) -> World:
    """A model server and an MLflow, and models to publish."""
    variable = "RETRAIN_SERVING"
    serving = ServingConnection.of(json.loads(services.command_line_connections()[variable]), variable)
    return World(serving, mlflow, saved_models)
