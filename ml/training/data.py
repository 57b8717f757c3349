"""What a candidate is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml.artifact import Window


@dataclass(frozen=True)
class TrainingData:
    """Landed days, and the part of them that is kept for the evaluation.

    Attributes:
        days: directories of examples (``part-*.parquet``), the oldest first.
        holdout: rows from its start on are held out; only the last day has them.
    """

    days: Sequence[Path]
    holdout: Window
