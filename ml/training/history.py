"""The learning curves of one training; part of every checkpoint, so that a restart leaves no gap."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

BINS = 1000
DIGITS = 6

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass
class Tally:
    """Loss and ranking of the rows seen since it was emptied.

    Attributes:
        examples: rows seen.
        loss: the sum of their log losses.
        negatives: rows of label 0 by score, in `BINS` equal bins of [0, 1].
        positives: rows of label 1 by score.
    """

    examples: int = 0
    loss: float = 0.0
    negatives: list[int] = field(default_factory=lambda: [0] * BINS)
    positives: list[int] = field(default_factory=lambda: [0] * BINS)

    def add(self, labels: Floats, scores: Floats, loss: float) -> None:
        """Count rows (labels and scores of shape [n]) whose losses add up to ``loss``."""
        bins = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
        self.examples += len(labels)
        self.loss += loss
        self.negatives = (np.bincount(bins[labels == 0], minlength=BINS) + self.negatives).tolist()
        self.positives = (np.bincount(bins[labels == 1], minlength=BINS) + self.positives).tolist()

    def summary(self) -> dict[str, Any]:
        """Rows, mean log loss and AUC; None for an AUC of one class only."""
        return {
            "examples": self.examples,
            "loss": round(self.loss / max(1, self.examples), DIGITS),
            "auc": area_under_curve(np.array(self.negatives), np.array(self.positives)),
        }


@dataclass
class Curves:
    """What ``history.json`` holds.

    Attributes:
        epochs: a summary for each finished epoch.
        curve: a summary for each stretch of steps.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)


class History(tf.train.experimental.PythonState):  # type: ignore[misc]
    """How far the training is, and how it went.

    Every row is scored before it is learnt, so the first epoch's curves are of rows not yet seen. With
    several workers they are of the chief's share of the rows.

    Args:
        steps_per_epoch: steps from one summary in ``epochs`` to the next.
        stretch: steps from one point of the curve to the next.
    """

    def __init__(self, steps_per_epoch: int, stretch: int) -> None:
        self.step = 0
        self.curves = Curves()
        self._steps_per_epoch = steps_per_epoch
        self._stretch = stretch
        self._epoch = Tally()
        self._recent = Tally()

    def add(self, steps: int, labels: Floats, scores: Floats, loss: float) -> dict[str, Any] | None:
        """Take the rows of some steps; return the point of the curve that they complete, if they do."""
        self._epoch.add(labels, scores, loss)
        self._recent.add(labels, scores, loss)
        before, self.step = self.step, self.step + steps
        if self.step % self._steps_per_epoch == 0:
            self._end_epoch()
        if before // self._stretch == self.step // self._stretch:
            return None
        point = {"step": self.step, **self._recent.summary()}
        self.curves.curve.append(point)
        self._recent = Tally()
        return point

    def _end_epoch(self) -> None:
        epoch = self.step // self._steps_per_epoch
        self.curves.epochs.append({"epoch": epoch, "step": self.step, **self._epoch.summary()})
        self._epoch = Tally()

    def serialize(self) -> str:
        """The state as a checkpoint keeps it."""
        parts = {"curves": asdict(self.curves), "epoch": asdict(self._epoch), "recent": asdict(self._recent)}
        return json.dumps({"step": self.step, **parts})

    def deserialize(self, string_value: str) -> None:
        """Take the state of a checkpoint back."""
        state = json.loads(string_value)
        self.step = state["step"]
        self.curves = Curves(**state["curves"])
        self._epoch, self._recent = Tally(**state["epoch"]), Tally(**state["recent"])


def area_under_curve(negatives: np.ndarray[Any, Any], positives: np.ndarray[Any, Any]) -> float | None:
    """AUC from counts by ascending score, ties counting half; None if one class is absent."""
    pairs = int(negatives.sum()) * int(positives.sum())
    if not pairs:
        return None
    below = np.cumsum(negatives) - negatives
    return round(float((positives * (below + negatives / 2)).sum()) / pairs, DIGITS)
