"""Training a candidate in worker processes.

::

    planning    landed days → plan: fitted features, counted rows
    launcher    plan → worker processes, restarted from the last checkpoint when one is lost
    worker      one of them: trainer, batches, model, history; the chief exports
    candidate   what the chief leaves → the artifact

Importing this package loads none of them; see docs/adr/0006-training-processes.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.training.data import TrainingData

if TYPE_CHECKING:
    from ml.config import Pipeline
    from ml.store import Draft

__all__ = ["TrainingData", "stop_training", "train_candidate"]


def train_candidate(pipeline: Pipeline, data: TrainingData, draft: Draft) -> None:
    """Train a Wide & Deep model; write ``saved_model/``, ``feature_spec.json`` and ``history.json``.

    TensorBoard's events and the workers' logs lie below ``measured/``.

    Raises:
        NoRecords: if no row is left to train on.
        DataRejected: if the labels are not 0 and 1, or are all the same.
        Misconfigured: if settings contradict each other, a column is missing, or the weights run away.
        Interrupted: if workers were lost more often than ``training.max_restarts``, or were stopped.
    """
    from ml.training.candidate import write_candidate

    write_candidate(pipeline, data, draft)


def stop_training() -> None:
    """End all workers that this process has started, at once."""
    from ml.training.launcher import stop_workers

    stop_workers()
