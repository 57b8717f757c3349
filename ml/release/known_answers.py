"""Golden requests with their known answers, kept beside a version's record when it is published.

They are rows with the scores that the model gave them offline. So whoever goes back to a version, or
rehearses going back, can tell whether a server answers right, without TensorFlow and without the model.
Which versions have them is asked whenever the DAG of going back is parsed, and so without numpy too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.config import Pipeline
from ml.durable import write_atomically
from ml.release.failures import WrongAnswers
from ml.release.rest import RestServer
from ml.store import Store

if TYPE_CHECKING:
    import numpy as np

    Columns = Mapping[str, np.ndarray[Any, Any]]

TOLERANCE = 1e-5

log = logging.getLogger(__name__)


class KnownAnswers:
    """The golden requests of all versions of one pipeline."""

    def __init__(self, pipeline: Pipeline, store: Store) -> None:
        self._directory = store.root / pipeline.name / "release" / "golden_requests"

    def write(self, version: int, columns: Columns, scores: np.ndarray[Any, Any]) -> None:
        """Keep rows and their scores.

        Args:
            version: that gives them.
            columns: input name → [n].
            scores: [n], as the model scores the rows offline.
        """
        content = {
            "columns": {
                name: {"type": _type_of(values), "values": _as_json(values)}
                for name, values in columns.items()
            },
            "scores": [float(score) for score in scores],
        }
        # A missing number is NaN, which JSON has no word for: it is written as null.
        write_atomically(self._path(version), json.dumps(content, allow_nan=False).encode())

    def versions(self) -> list[int]:
        """All versions that have them, the newest first: each has answered right when it was published."""
        return sorted((int(path.stem) for path in self._directory.glob("[0-9]*.json")), reverse=True)

    def read(self, version: int) -> tuple[dict[str, np.ndarray[Any, Any]], np.ndarray[Any, Any]] | None:
        """Columns and scores of a version; None if none were kept."""
        import numpy as np

        if not self._path(version).exists():
            return None
        content = json.loads(self._path(version).read_bytes())
        columns = {name: _from_json(**column) for name, column in content["columns"].items()}
        return columns, np.asarray(content["scores"], np.float64)

    def ask(self, version: int, rest: RestServer) -> float | None:
        """Ask a loaded version for the rows, by its number.

        Returns:
            The largest absolute difference from the known answers; None if none were kept.

        Raises:
            WrongAnswers: if one differs by more than `TOLERANCE`.
        """
        known = self.read(version)
        if known is None:
            log.warning("no golden requests were kept for version %d; nothing is asked of it", version)
            return None
        columns, expected = known
        difference = difference_of(expected, rest.predict(version, columns))
        if not difference <= TOLERANCE:
            raise WrongAnswers(
                f"version {version} answers {len(expected)} golden requests otherwise than when it was "
                f"published: it differs by {difference:.2g}, expected at most {TOLERANCE:g}. The label was "
                "not moved. Choose another version, and compare the version's directory with its model."
            )
        log.info("%d golden requests are answered as known, to %.2g", len(expected), difference)
        return difference

    def _path(self, version: int) -> Path:
        return self._directory / f"{version}.json"


def difference_of(expected: np.ndarray[Any, Any], answer: np.ndarray[Any, Any]) -> float:
    """The largest absolute difference; infinite if answers are missing or are no numbers."""
    import numpy as np

    if expected.shape != answer.shape or not np.isfinite(answer).all():
        return float("inf")
    return float(np.abs(expected.astype(np.float64) - answer).max())


def _type_of(values: np.ndarray[Any, Any]) -> str:
    return "text" if values.dtype.kind in "OUS" else values.dtype.name


def _as_json(values: np.ndarray[Any, Any]) -> list[Any]:
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124 - NaN only


def _from_json(type: str, values: list[Any]) -> np.ndarray[Any, Any]:  # noqa: A002 - the key in the file
    import numpy as np

    if type == "text":
        return np.asarray(values, object)
    return np.asarray([float("nan") if value is None else value for value in values], type)
