"""One MLflow run: found again by its key, and brought up to what is known by writing only differences."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ml.errors import Misconfigured
from ml.release.run_labels import RUN_KEY
from ml.release.run_metrics import Point

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# MLflow's limits for one log-batch request.
MAX_METRICS, MAX_LABELS = 1000, 100

# Without it MLflow opens the experiment as one of language models, on a page without runs.
MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
UPLOADED = "uploaded."

Item = TypeVar("Item")

log = logging.getLogger(__name__)


class RunLog:
    """A run on an MLflow server. Hold the pipeline's logging lock while there is one.

    Attributes:
        experiment_id: of the experiment that it belongs to.
        run_id: of the run.
        is_new: whether it was made just now.
    """

    def __init__(self, client: MlflowClient, experiment: str, run_key: str, name: str) -> None:
        self._client = client
        self.experiment_id = _experiment(client, experiment)
        found = _find(client, self.experiment_id, run_key)
        self.is_new = found is None
        self._run = found or client.create_run(self.experiment_id, tags={RUN_KEY: run_key}, run_name=name)
        self.run_id = str(self._run.info.run_id)

    def log_params(self, params: Mapping[str, str]) -> None:
        """Add parameters. MLflow never changes one, so what differs since the first try becomes a tag."""
        from mlflow.entities import Param

        logged = self._run.data.params
        changed = {name: value for name, value in params.items() if name in logged and logged[name] != value}
        if changed:
            log.warning("these settings changed since the run was first logged: %s", ", ".join(changed))
        self.log_tags({f"changed.{name}": value for name, value in changed.items()})
        for batch in _batches([Param(*pair) for pair in params.items() if pair[0] not in logged], MAX_LABELS):
            self._client.log_batch(self.run_id, params=batch)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Set the tags that are not there or differ."""
        from mlflow.entities import RunTag

        logged = self._run.data.tags
        differing = [RunTag(name, value) for name, value in tags.items() if logged.get(name) != value]
        for batch in _batches(differing, MAX_LABELS):
            self._client.log_batch(self.run_id, tags=batch)

    def log_metrics(self, metrics: Mapping[str, float], curves: Sequence[Point]) -> None:
        """Write values that are not there or differ, and the points of curves that are missing."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        logged = self._run.data.metrics
        known = self._points({point.name for point in curves})
        differing = [
            *(Metric(name, value, now, 0) for name, value in metrics.items() if logged.get(name) != value),
            *(
                Metric(point.name, point.value, now, point.step)
                for point in curves
                if known.get((point.name, point.step)) != point.value
            ),
        ]
        for batch in _batches(differing, MAX_METRICS):
            self._client.log_batch(self.run_id, metrics=batch)

    def lacks(self, name: str, digest: str) -> bool:
        """Whether content of this name and digest is still to be uploaded."""
        return self._run.data.tags.get(f"{UPLOADED}{name}") != digest

    def upload(self, name: str, digest: str, files: Sequence[tuple[Path, str]]) -> None:
        """Upload files and directories, each below its place, and note them once all are there."""
        for path, place in files:
            send = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
            send(self.run_id, str(path), place)
        self._client.set_tag(self.run_id, f"{UPLOADED}{name}", digest)

    def end(self, status: str) -> None:
        """Mark the run as FINISHED or FAILED, unless it is marked so."""
        if self._run.info.status != status:
            self._client.set_terminated(self.run_id, status)

    def _points(self, names: set[str]) -> dict[tuple[str, int], float]:
        if self.is_new:
            return {}
        history = [
            point for name in sorted(names) for point in self._client.get_metric_history(self.run_id, name)
        ]
        return {(point.key, point.step): point.value for point in sorted(history, key=lambda p: p.timestamp)}


def _experiment(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage != "active":
        raise Misconfigured(
            f"the MLflow experiment {name!r} was deleted, and MLflow keeps its name. Restore it in the UI, "
            "or remove it for good with `mlflow gc`."
        )
    return str(found.experiment_id if found else client.create_experiment(name, tags=MODEL_TRAINING))


def _find(client: MlflowClient, experiment_id: str, run_key: str) -> Run | None:
    clause = f"tags.`{RUN_KEY}` = '{run_key}'"
    return next(iter(client.search_runs([experiment_id], clause, max_results=1)), None)


def _batches(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
