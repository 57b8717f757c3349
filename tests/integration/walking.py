"""Nights that are walked without Airflow, and everything that a walk may change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from mlflow import MlflowClient
from tensorflow_serving.apis.model_pb2 import ModelSpec

from ml.artifact import Window, digest_file
from ml.config import Pipeline
from ml.connections import ServingConnection
from ml.errors import Withheld
from ml.features.requests import to_examples
from ml.pipelines import load_pipeline
from ml.release.model_config import read_config, read_entry
from ml.store import Store
from ml.walk import Walk
from tests.demo.stack import Services
from tests.integration.serving_client import Client

PIPELINES = Path(__file__).parent / "pipelines"

# The embedded broker has no index of times.
ENVIRONMENT = {"RETRAIN_PIPELINES": str(PIPELINES), "RETRAIN_LANDING__SEEK": "scan"}

# For days of some thousand clicks: a smaller model, and a gate that asks for less.
SMALL = {
    "RETRAIN_TRAINING__WINDOW_DAYS": "2",
    "RETRAIN_TRAINING__HIDDEN_UNITS": "[16]",
    "RETRAIN_GATE__MIN_EXAMPLES": "500",
    "RETRAIN_GATE__MIN_SLICE_EXAMPLES": "300",
    "RETRAIN_GATE__FLOORS": "{auc: 0.55, calibration_low: 0.5, calibration_high: 2.0}",
}
REQUEST_SECONDS = 60


@dataclass(frozen=True)
class Night:
    """A night that is over.

    Attributes:
        walk: with everything that it made.
        withheld: why nothing was published; empty if it was.
        served: the version that users are answered by afterwards.
    """

    walk: Walk
    withheld: str
    served: int | None


@dataclass(frozen=True)
class World:
    """One pipeline, its store and the servers around it.

    Attributes:
        name: the pipeline's.
        home: RETRAIN_HOME.
        services: broker, MLflow and model server.
    """

    name: str
    home: Path
    services: Services

    @property
    def pipeline(self) -> Pipeline:
        return load_pipeline(self.name)

    @property
    def store(self) -> Store:
        return Store(self.home / "store")

    @property
    def serving(self) -> ServingConnection:
        return ServingConnection.from_variable("RETRAIN_SERVING")

    @property
    def mlflow(self) -> MlflowClient:
        return MlflowClient(self.services.mlflow)

    def walk(self, day: date) -> Walk:
        return Walk(self.name, Window.of_day(day, self.pipeline.landing.time_zone))

    def night(self, day: date) -> Night:
        """Walk a whole night, whatever it comes to."""
        walk, withheld = self.walk(day), ""
        try:
            assert walk.push_model
        except Withheld as reason:
            withheld = str(reason)
        return Night(walk, withheld, self.served())

    def served(self) -> int | None:
        """The version that the model server answers users with."""
        serving = self.pipeline.serving
        address = f"{self.services.serving.rest}/v1/models/{serving.model}/labels/{serving.label}/metadata"
        answer = httpx.get(address, timeout=REQUEST_SECONDS)
        return int(answer.json()["model_spec"]["version"]) if answer.is_success else None

    def runs(self) -> list[dict[str, Any]]:
        """The pipeline's MLflow runs with all that is in them."""
        experiment = self.mlflow.get_experiment_by_name(self.name)
        found = self.mlflow.search_runs([experiment.experiment_id]) if experiment else []
        return sorted(map(self._content, found), key=lambda run: str(run["tags"]["retraining.run_key"]))

    def state(self) -> dict[str, Any]:
        """Everything that walking a night again must leave as it is."""
        serving = self.pipeline.serving
        versions = self.mlflow.search_model_versions(f"name = '{serving.model}'")
        base_path = self.services.models / serving.model
        entry = read_entry(read_config(self.serving.config_file), serving.model, str(base_path))
        return {
            "store": tree(self.store.root),
            "served": self.served(),
            "model server": (entry.versions, dict(entry.labels)),
            "model server's directory": sorted(path.name for path in base_path.glob("*")),
            "runs": self.runs(),
            "registered": [(each.version, each.run_id, each.aliases, each.tags) for each in versions],
        }

    def _content(self, run: Any) -> dict[str, Any]:
        curve = self.mlflow.get_metric_history(run.info.run_id, "curve.loss")
        return {
            "id": run.info.run_id,
            "status": run.info.status,
            "params": run.data.params,
            "tags": run.data.tags,
            "metrics": run.data.metrics,
            "curve": [(point.step, point.value) for point in curve],
            "files": sorted(self._files(run.info.run_id)),
        }

    def _files(self, run_id: str, path: str = "") -> Iterator[tuple[str, int]]:
        for entry in self.mlflow.list_artifacts(run_id, path):
            if entry.is_dir:
                yield from self._files(run_id, entry.path)
            else:
                yield entry.path, entry.file_size or 0


@contextmanager
def opened_world(name: str, home: Path, services: Services, settings: Mapping[str, str]) -> Iterator[World]:
    """A world that this process and those that it starts see in their environment."""
    environment = {
        "RETRAIN_HOME": str(home),
        **services.command_line_connections(),
        **ENVIRONMENT,
        **settings,
    }
    with pytest.MonkeyPatch.context() as patch:
        for variable in list(os.environ):
            if variable.startswith("RETRAIN_"):
                patch.delenv(variable)
        for variable, value in environment.items():
            patch.setenv(variable, value)
        yield World(name, home, services)


def tree(root: Path) -> dict[str, str]:
    """The digest of every file below a directory but locks."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(root)): digest_file(path) for path in files}


def digests(store: Store) -> dict[str, str]:
    """The digest of every artifact in a store, by day and key."""
    manifests = store.root.glob("*/*/*/manifest.json")
    return {path.parent.name: json.loads(path.read_bytes())["digest"] for path in manifests}


def held_out(world: World, walk: Walk, count: int) -> tuple[pa.Table, np.ndarray[Any, Any]]:
    """The first held-out rows of a night, and the scores that the candidate got for them."""
    holdout = Window.parse(**world.store.read_json(walk.gather_window)["holdout"])
    parts = sorted(world.store.open(walk.land_examples).glob("part-*.parquet"))
    rows = pa.concat_tables(map(pq.read_table, parts))
    times = rows[world.pipeline.landing.event_time].to_numpy()
    rows = rows.filter(pa.array((holdout.start_ms <= times) & (times < holdout.end_ms)))
    scores = pq.read_table(world.store.open(walk.evaluate_candidate) / "scores.parquet")["candidate"]
    assert len(scores) == rows.num_rows
    return rows.slice(0, count), scores.to_numpy()[:count]


def ask_over_rest(world: World, rows: pa.Table) -> np.ndarray[Any, Any]:
    """Scores that the served version gives rows of raw features, each as JSON, as a website would ask."""
    pipeline = world.pipeline
    missing = {
        name: float("nan") if name in pipeline.features.numeric else "" for name in pipeline.features.names
    }
    instances = [
        {name: missing[name] if row[name] is None else row[name] for name in missing}
        for row in rows.to_pylist()
    ]
    serving = pipeline.serving
    answer = httpx.post(
        f"{world.services.serving.rest}/v1/models/{serving.model}/labels/{serving.label}:predict",
        content=json.dumps({"instances": instances}),
        timeout=REQUEST_SECONDS,
    )
    return np.array(answer.raise_for_status().json()["predictions"])


def ask_over_grpc(world: World, rows: pa.Table) -> np.ndarray[Any, Any]:
    """The same of serialized tf.Examples."""
    serving = world.pipeline.serving
    spec = ModelSpec(name=serving.model, version_label=serving.label, signature_name="serving_examples")
    examples = tf.make_tensor_proto(to_examples(world.pipeline, rows))
    client = Client(world.services.serving.grpc, world.services.serving.rest)
    try:
        return np.array(client.scores(spec, {"examples": examples}))
    finally:
        client.close()
