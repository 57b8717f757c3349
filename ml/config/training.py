"""Settings of how a candidate is trained."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from ml.config.section import Count, Fraction, Positive, Section


class Training(Section):
    """How a candidate is trained.

    Attributes:
        window_days: how many days, ending with the run's day, it learns from.
        holdout_fraction: the last part of the day, by event time, which it is judged on.
        epochs: passes over the window.
        batch_size: examples a step over all workers, which share them evenly.
        workers: processes of the MultiWorkerMirroredStrategy on this machine.
        hidden_units: widths of the perceptron's layers.
        dropout: share of units dropped in training.
        learning_rate: Adam's, for the deep part.
        wide_learning_rate: FTRL's, for the wide part.
        l1: FTRL's L1 strength, which keeps the wide part sparse.
        l2: FTRL's L2 strength.
        seed: of weights and shuffling.
        max_restarts: how often lost workers are restarted from the last checkpoint.
        checkpoint_steps: steps from one checkpoint to the next.
    """

    window_days: Count
    holdout_fraction: Fraction
    epochs: Count
    batch_size: Count
    workers: Count
    hidden_units: tuple[Count, ...] = (128, 64)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    learning_rate: Positive = 0.001
    wide_learning_rate: Positive = 0.05
    l1: Annotated[float, Field(ge=0)] = 0.0
    l2: Annotated[float, Field(ge=0)] = 0.0
    seed: int = 1
    max_restarts: Annotated[int, Field(ge=0)] = 2
    checkpoint_steps: Count = 200

    @model_validator(mode="after")
    def _even_shares(self) -> Self:
        if self.batch_size % self.workers:
            raise ValueError(
                f"expected batch_size to be a multiple of workers, found {self.batch_size} examples for "
                f"{self.workers} workers; change one of the two"
            )
        return self
