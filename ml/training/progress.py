"""How a running training is told: a line every few seconds, and TensorBoard's events."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import tensorflow as tf

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Rates and remaining time of one training.

    The first call of the training function builds its graph, so rates are measured from its end on.

    Args:
        steps: of the whole training.
        batch_size: examples a step, over all workers.
        tensorboard: where the event files go; None where nobody looks.
    """

    def __init__(self, steps: int, batch_size: int, tensorboard: Path | None) -> None:
        self._steps = steps
        self._batch_size = batch_size
        self._events = (
            tf.summary.create_file_writer(str(tensorboard))
            if tensorboard
            else tf.summary.create_noop_writer()
        )
        self._loss = float("nan")
        self._step = 0
        self._began_at = self._reported_at = self._said_at = time.monotonic()
        self._timed_from: tuple[float, int] | None = None

    def begin(self, step: int) -> None:
        """Start the clock; a resumed training begins later than at step 0."""
        self._step = step
        self._began_at = self._reported_at = self._said_at = time.monotonic()
        log.info(
            "training %d steps of %d examples, beginning at step %d", self._steps, self._batch_size, step
        )

    def report(self, step: int, point: dict[str, Any] | None) -> None:
        """Take note of finished steps, with the point of the learning curve that they complete."""
        self._step, self._reported_at = step, time.monotonic()
        self._timed_from = self._timed_from or (self._reported_at, step)
        if point:
            self._loss = point["loss"]
            self._write_events(point)
        if self._reported_at - self._said_at > SECONDS_BETWEEN_LINES:
            self._say("")

    def saved(self, step: int) -> None:
        """Tell that a checkpoint has been written."""
        self._say(f", checkpoint {step} saved")

    def measurements(self) -> dict[str, float]:
        """Seconds, examples a second and milliseconds a step."""
        rate = self._steps_per_second()
        return {
            "train_seconds": round(self._reported_at - self._began_at, 3),
            "examples_per_second": round(rate * self._batch_size),
            "ms_per_step": round(1000 / rate, 3) if rate else 0.0,
        }

    def _steps_per_second(self) -> float:
        since, step = self._timed_from or (0.0, self._step)
        return (self._step - step) / max(1e-9, self._reported_at - since)

    def _say(self, more: str) -> None:
        self._said_at = time.monotonic()
        rate = self._steps_per_second()
        log.info(
            "step %d of %d, %.0f examples/s, %s left, loss %.4f%s",
            self._step,
            self._steps,
            rate * self._batch_size,
            f"{(self._steps - self._step) / rate:.0f} s" if rate else "some time",
            self._loss,
            more,
        )

    def _write_events(self, point: dict[str, Any]) -> None:
        with self._events.as_default(step=point["step"]):
            tf.summary.scalar("loss", point["loss"])
            if point["auc"] is not None:
                tf.summary.scalar("auc", point["auc"])
            tf.summary.scalar("examples_per_second", self._steps_per_second() * self._batch_size)
        self._events.flush()
