"""Steps that make a candidate and put it beside production."""

from __future__ import annotations

from ml.artifact import Artifact
from ml.day import Day
from ml.identities import identify_evaluation, identify_model
from ml.training_window import read_training_rows


def train_candidate(training_window: Artifact) -> Artifact:
    """Train a Wide & Deep model on the window, but for the held-out end of its last day.

    Raises:
        Interrupted: if workers were lost more often than ``training.max_restarts``.
    """
    from ml import training

    day = Day.of_artifact(training_window)
    rows = read_training_rows(day, training_window)
    return day.store.produce(
        identify_model(day, training_window),
        lambda draft: training.train_candidate(
            day.pipeline, training.TrainingData(rows.days, rows.holdout), draft
        ),
    )


def stop_training() -> None:
    """End every worker process that this process has started."""
    from ml import training

    training.stop_training()


def evaluate_candidate(model: Artifact, production: Artifact, training_window: Artifact) -> Artifact:
    """Score candidate and production on the same held-out rows, which neither has seen."""
    from ml import evaluation

    day = Day.of_artifact(model)
    served: Artifact | None = day.store.read_json(production)["model"]
    rows = read_training_rows(day, training_window)
    models = evaluation.Models(day.store.open(model), day.store.open(served) if served else None)
    return day.store.produce(
        identify_evaluation(day, model, production, training_window),
        lambda draft: evaluation.evaluate_candidate(day.pipeline, models, rows.days[-1], rows.holdout, draft),
    )
