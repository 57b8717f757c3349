"""What every worker of one training must know, passed to it as a JSON file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ml.artifact import canonical_json
from ml.config import Training
from ml.features.spec import FeatureSpec

STEPS_PER_CALL = 8


def write_json(path: Path, value: Any) -> None:
    """Write canonical JSON."""
    path.write_text(canonical_json(value) + "\n")


class RowGroup(BaseModel):
    """One row group of a Parquet file.

    Attributes:
        day: the place of its day in the window, from 0, the oldest.
        rows: how many of its rows are trained on.
        positives: how many of those have label 1.
    """

    model_config = ConfigDict(frozen=True)

    path: Path
    index: int
    day: int
    rows: int
    positives: int


class Plan(BaseModel):
    """The fitted features, the rows and the settings of one training.

    Attributes:
        feature_spec: what was fitted on these rows.
        training: the settings.
        label: the column with 0 or 1.
        event_time: the column with the event's time in milliseconds since the epoch.
        before_ms: rows with an earlier event time are trained on; the others are held out.
        row_groups: in order of time.
        measured: the directory for logs.
        scratch: the directory for checkpoints and results.
    """

    model_config = ConfigDict(frozen=True)

    feature_spec: FeatureSpec
    training: Training
    label: str
    event_time: str
    before_ms: int
    row_groups: tuple[RowGroup, ...]
    measured: Path
    scratch: Path

    @property
    def path(self) -> Path:
        """Where the workers read it."""
        return self.scratch / "plan.json"

    @property
    def checkpoints(self) -> Path:
        """Where the chief saves its state and lost workers come back from."""
        return self.scratch / "checkpoints"

    @property
    def results(self) -> Path:
        """Where the chief leaves what it has made."""
        return self.scratch / "results"

    @property
    def saved_model(self) -> Path:
        """Where the SavedModel is written."""
        return self.scratch / "saved_model"

    @property
    def failure(self) -> Path:
        """Where a worker says why it must not be started again."""
        return self.scratch / "failure.txt"

    @property
    def examples(self) -> int:
        """Rows an epoch, over all workers."""
        return sum(group.rows for group in self.row_groups)

    @property
    def log_odds(self) -> float:
        """Logarithm of positives to negatives."""
        positives = sum(group.positives for group in self.row_groups)
        return math.log(positives / (self.examples - positives))

    @property
    def worker_batch_size(self) -> int:
        """Examples a step for one worker."""
        return self.training.batch_size // self.training.workers

    @property
    def steps_per_epoch(self) -> int:
        """Steps an epoch; the same for every worker, the last one filled up with rows of no weight."""
        worker_rows = math.ceil(self.examples / self.training.workers)
        return math.ceil(worker_rows / self.worker_batch_size)

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.steps_per_epoch * self.training.epochs

    @property
    def seed(self) -> int:
        """The seed as 32 bits, as numpy wants it."""
        return self.training.seed % 2**32
