"""Two servers and models to publish, and all that a publication may change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from ml.connections import MlflowConnection, ServingConnection
from ml.release.model_config import read_config, read_entry
from tests.demo.mlflow_server import running_mlflow
from tests.demo.model_server.process import ModelServerProcess, running_model_server
from tests.integration.publishing import Place, save_models


@dataclass(frozen=True)
class World:
    """What all tests of a file share: two servers, and models to push."""

    serving: ServingConnection
    mlflow: MlflowConnection
    saved_models: Path


@contextmanager
def running_world(home: Path) -> Iterator[World]:
    """Run both servers while the block runs; everything lies below ``home``."""
    save_models(home / "saved_models")
    with running_mlflow(home / "mlflow") as uri, running_serving(home / "serving") as serving:
        yield World(serving, MlflowConnection(uri=uri), home / "saved_models")


@contextmanager
def running_serving(home: Path) -> Iterator[ServingConnection]:
    """Run a model server that serves nothing yet."""
    config = home / "models" / "models.config"
    config.parent.mkdir(parents=True)
    config.write_text("model_config_list {}")
    with running_model_server(config, home / "serving.log") as server:
        yield connection_to(server, config)


def connection_to(server: ModelServerProcess, config_file: Path) -> ServingConnection:
    """The connection to a model server whose models lie beside its config file."""
    models = config_file.parent
    return ServingConnection(
        rest=server.rest,
        grpc=server.grpc,
        models_dir=models,
        server_models_dir=models,
        config_file=config_file,
    )


def aliased(registry: MlflowClient, place: Place, alias: str) -> dict[str, str]:
    version = registry.get_model_version_by_alias(place.model, alias)
    return dict(version.tags)


def listed(place: Place, server: ServingConnection | None = None) -> tuple[tuple[int, ...], dict[str, int]]:
    """Versions and labels in a server's config file, by default that of users' own server."""
    server = server or place.serving
    base_path = str(server.server_models_dir / place.model)
    entry = read_entry(read_config(server.config_file), place.model, base_path)
    return entry.versions, dict(entry.labels)


def state(place: Place, registry: MlflowClient) -> dict[str, Any]:
    """Everything that a push may change."""
    versions = registry.search_model_versions(f"name = '{place.model}'")
    return {
        "served": place.served(),
        "config": listed(place),
        "directories": place.directories(),
        "production": aliased(registry, place, "production")["model.digest"],
        "registered": sorted((version.version, version.tags.get("serving.version")) for version in versions),
        "ledger": [{**entry, "time": None, "previous": None} for entry in place.ledger.entries()],
    }


def command_line(place: Place) -> dict[str, str]:
    """What makes ``python -m ml … --pipeline clicks`` mean a place whose store is ``$RETRAIN_HOME/store``."""
    return {
        **os.environ,
        "RETRAIN_HOME": str(place.home.parent),
        "RETRAIN_CLICKS__SERVING__MODEL": place.model,
        "RETRAIN_SERVING": place.serving.model_dump_json(),
        "RETRAIN_MLFLOW": json.dumps({"uri": place.mlflow.uri}),
    }


def without_tensorflow(settings: Mapping[str, str], *arguments: str) -> str:
    """What ``python -m ml …`` prints. It must not import TensorFlow: users would wait seconds for a move."""
    code = "import sys; from ml.__main__ import main; code = main(); print('tensorflow' in sys.modules, code)"
    command = [sys.executable, "-c", code, *arguments]
    answer = subprocess.run(command, env=settings, capture_output=True, text=True, check=True)
    printed, found = answer.stdout.rstrip("\n").rsplit("\n", 1)
    assert found == "False 0"
    return printed
