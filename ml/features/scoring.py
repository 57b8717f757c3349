"""Scoring rows with a SavedModel exactly as a model server does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ml.errors import Misconfigured

BATCH_SIZE = 8192

Arrays = Mapping[str, np.ndarray[Any, Any]]


class Scorer:
    """A loaded ``serving_default`` signature.

    Attributes:
        types: the raw columns that it takes → ``string``, ``int64`` or ``float32``. They are the model's
            own: the pipeline may have other features by now.
    """

    def __init__(self, saved_model: Path) -> None:
        self._path = saved_model
        self._model = tf.saved_model.load(str(saved_model))
        self._signature = self._model.signatures["serving_default"]
        inputs = self._signature.structured_input_signature[1]
        self.types: dict[str, str] = {name: inputs[name].dtype.name for name in sorted(inputs)}

    def __call__(self, columns: Arrays) -> np.ndarray[Any, Any]:
        """Score rows in batches.

        Args:
            columns: name → [n], see `ml.features.requests`. Columns that the model does not take are
                passed over.

        Returns:
            float32 [n], the probabilities of label 1.

        Raises:
            Misconfigured: if a column that the model takes is missing.
        """
        self._check(columns)
        rows = len(columns[next(iter(self.types))])
        scores = np.empty(rows, np.float32)
        for start in range(0, rows, BATCH_SIZE):
            batch = {name: tf.constant(columns[name][start : start + BATCH_SIZE]) for name in self.types}
            scores[start : start + BATCH_SIZE] = self._signature(**batch)["score"].numpy()
        return scores

    def _check(self, columns: Arrays) -> None:
        if missing := sorted(set(self.types) - set(columns)):
            raise Misconfigured(
                f"the model in {self._path} takes {', '.join(self.types)}; there is no column "
                f"{', '.join(missing)}. It was trained with other features: keep these in schema.pbtxt until "
                "a model without them is in production."
            )


def load_scorer(saved_model: Path) -> Scorer:
    """Load the SavedModel in a directory for batched scoring."""
    return Scorer(saved_model)
