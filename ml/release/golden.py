"""Golden requests: held-out rows that the served version must answer as the model does offline."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from ml.artifact import Window
from ml.config import Pipeline
from ml.errors import DataRejected
from ml.release.failures import WrongAnswers
from ml.release.known_answers import TOLERANCE, difference_of
from ml.release.server import ModelServer

log = logging.getLogger(__name__)


def read_rows(pipeline: Pipeline, examples: Path, holdout: Window, count: int) -> pa.Table:
    """The first held-out rows in the order that they were landed in, at most ``count``.

    Raises:
        DataRejected: if no row is held out.
    """
    event_time = ds.field(pipeline.landing.event_time)
    inside = (event_time >= holdout.start_ms) & (event_time < holdout.end_ms)
    parts = ds.dataset(sorted(examples.glob("part-*.parquet")), format="parquet")
    rows = parts.head(count, columns=list(pipeline.features.names), filter=inside)
    if not rows.num_rows:
        raise DataRejected(
            f"{examples} holds no row of {holdout}, so nothing can be asked of the served model. Expected "
            "the held-out end of the day: look at its examples."
        )
    return rows


def ask_golden(
    version: int,
    expected: np.ndarray[Any, Any],
    columns: dict[str, np.ndarray[Any, Any]],
    server: ModelServer,
) -> dict[str, float]:
    """Ask a version by its number, over both faces, and hold the answers against the offline scores.

    Args:
        version: a loaded version.
        expected: [n], the model's scores offline.
        columns: input name → [n].
        server: has the version loaded.

    Returns:
        Face → the largest absolute difference from the offline scores.

    Raises:
        WrongAnswers: if an answer differs by more than `TOLERANCE`.
    """
    answers = {
        "REST": server.rest.predict(version, columns),
        "gRPC": server.rpc.predict(version, columns),
    }
    differences = compare(expected, answers)
    worst = max(differences.values())
    if not worst <= TOLERANCE:
        raise WrongAnswers(
            f"version {version} answers {len(expected)} held-out rows otherwise than the model does offline: "
            f"{_described(differences)}, expected at most {TOLERANCE:g}. Users are still answered by the "
            "version before. Compare TensorFlow's versions here and in the model server."
        )
    log.info("%d held-out rows are answered as offline: %s", len(expected), _described(differences))
    return differences


def compare(expected: np.ndarray[Any, Any], answers: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, float]:
    """Face → largest absolute difference; infinite if answers are missing or are no numbers."""
    return {face: difference_of(expected, answer) for face, answer in answers.items()}


def _described(differences: Mapping[str, float]) -> str:
    return ", ".join(f"{face} differs by {difference:.2g}" for face, difference in differences.items())
