"""One MLflow run: found again by its key, and brought up to what is known by writing only differences."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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
UPLOADED, CHANGED = "uploaded.", "changed."

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
        self.experiment_id = experiment_of(client, experiment)
        found = find_run(client, self.experiment_id, run_key)
        self.is_new = found is None
        self._run = found or client.create_run(self.experiment_id, tags={RUN_KEY: run_key}, run_name=name)
        self.run_id = str(self._run.info.run_id)

    def log_params(self, params: Mapping[str, str]) -> None:
        """Add parameters. MLflow never changes one, so what differs since the first try becomes a tag."""
        from mlflow.entities import Param

        logged, tags = self._run.data.params, self._run.data.tags
        same = [f"{CHANGED}{name}" for name, value in params.items() if logged.get(name) == value]
        self.drop_tags([tag for tag in same if tag in tags])
        changed = {name: value for name, value in params.items() if name in logged and logged[name] != value}
        if changed:
            log.warning("these settings changed since the run was first logged: %s", ", ".join(changed))
        self.log_tags({f"{CHANGED}{name}": value for name, value in changed.items()})
        for batch in _batches([Param(*pair) for pair in params.items() if pair[0] not in logged], MAX_LABELS):
            self._client.log_batch(self.run_id, params=batch)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Set the tags that are not there or differ."""
        from mlflow.entities import RunTag

        logged = self._run.data.tags
        differing = [RunTag(name, value) for name, value in tags.items() if logged.get(name) != value]
        for batch in _batches(differing, MAX_LABELS):
            self._client.log_batch(self.run_id, tags=batch)

    def drop_tags(self, names: Sequence[str]) -> None:
        """Remove tags that no longer hold."""
        for name in names:
            self._client.delete_tag(self.run_id, name)

    def log_metrics(self, metrics: Mapping[str, float], curves: Sequence[Point] = (), step: int = 1) -> None:
        """Write values that differ or were logged at another step, and the points of curves that are missing.

        Args:
            metrics: name → value.
            curves: points with steps of their own.
            step: the number of the try.
        """
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        logged = {point.key: (point.value, point.step) for point in self._run.data.to_proto().metrics}
        known = self._points({point.name for point in curves})
        differing = [
            *(
                Metric(name, value, now, step)
                for name, value in metrics.items()
                if logged.get(name) != (value, step)
            ),
            *(
                Metric(point.name, point.value, now, point.step)
                for point in curves
                if known.get((point.name, point.step)) != point.value
            ),
        ]
        for batch in _batches(differing, MAX_METRICS):
            self._client.log_batch(self.run_id, metrics=batch)

    def read_json(self, name: str) -> Any:
        """The content of a JSON file beside the run."""
        return read_json(self._client, self.run_id, name)

    def write_json(self, name: str, content: Any) -> None:
        """Put a JSON file beside the run, in the place of the one that is there."""
        self._client.log_text(self.run_id, json.dumps(content, ensure_ascii=False, indent=2) + "\n", name)

    @property
    def started_at(self) -> datetime:
        """When the run was made."""
        return datetime.fromtimestamp(self._run.info.start_time / 1000, timezone.utc)

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags that the run had when it was found or made."""
        return dict(self._run.data.tags)

    def lacks(self, name: str, digest: str) -> bool:
        """Whether content of this name and digest is still to be uploaded."""
        return self._run.data.tags.get(f"{UPLOADED}{name}") != digest

    def lacks_all(self, name: str) -> bool:
        """Whether no content of this name was ever uploaded."""
        return f"{UPLOADED}{name}" not in self._run.data.tags

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


def experiment_of(client: MlflowClient, name: str) -> str:
    """The experiment of a name, made if it is not there.

    Raises:
        Misconfigured: if it was deleted.
    """
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage != "active":
        raise Misconfigured(
            f"the MLflow experiment {name!r} was deleted, and MLflow keeps its name. Restore it in the UI, "
            "or remove it for good with `mlflow gc`."
        )
    return str(found.experiment_id if found else client.create_experiment(name, tags=MODEL_TRAINING))


def find_run(client: MlflowClient, experiment_id: str, run_key: str) -> Run | None:
    """The run with this key; None if there is none."""
    clause = f"tags.`{RUN_KEY}` = '{run_key}'"
    return next(iter(client.search_runs([experiment_id], clause, max_results=1)), None)


def read_json(client: MlflowClient, run_id: str, name: str) -> Any:
    """The content of a JSON file beside a run."""
    with tempfile.TemporaryDirectory() as directory:
        return json.loads(Path(client.download_artifacts(run_id, name, directory)).read_bytes())


def _batches(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
