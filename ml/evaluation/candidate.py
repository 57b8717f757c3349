"""Candidate and production on the same held-out rows."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.artifact import Window
from ml.config import Pipeline
from ml.evaluation.holdout import Holdout, Scorer, score_holdout
from ml.evaluation.ranking import Indices, Scores
from ml.evaluation.report import Scored, measure
from ml.evaluation.slices import Partition
from ml.store import Draft

if TYPE_CHECKING:
    from ml.features.scoring import Scorer as SavedScorer

MAX_SCORES = 200_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Models:
    """Directories of the two ``model`` artifacts.

    Attributes:
        candidate: the one that was just trained.
        production: the one that is really serving, or None if none is.
    """

    candidate: Path
    production: Path | None


def evaluate_candidate(
    pipeline: Pipeline, models: Models, examples: Path, holdout: Window, draft: Draft
) -> None:
    """Score both models on the held-out rows and write ``evaluation.json`` and ``scores.parquet``.

    What they hold is written in `ml.evaluation.layout`. Whether the numbers are good is the gate's business.

    Args:
        pipeline: names label, features and slices, and the confidence of the intervals.
        models: whose scores are compared.
        examples: directory of the day's landed examples.
        holdout: the end of the day, which neither model was trained on.
        draft: the evaluation to be written.

    Raises:
        DataRejected: if a label is neither 0 nor 1.
        Misconfigured: if the examples lack a column, or two slices have the same name.
    """
    from ml.features.scoring import load_scorer

    loaded = {"candidate": load_scorer(models.candidate / "saved_model")}
    if models.production:
        loaded["production"] = load_scorer(models.production / "saved_model")
    features = frozenset(name for scorer in loaded.values() for name in scorer.types)
    scorers = {role: _on_batches(scorer) for role, scorer in loaded.items()}
    started = time.monotonic()
    scored = score_holdout(Holdout(pipeline, examples, holdout, features), scorers)
    scoring, started = time.monotonic() - started, time.monotonic()
    write_evaluation(scored, holdout, pipeline.gate.confidence, draft)
    draft.measurements.update(
        scoring_seconds=round(scoring, 3),
        measuring_seconds=round(time.monotonic() - started, 3),
        rows_per_second=round(len(scored.labels) / scoring),
    )


def write_evaluation(scored: Scored, holdout: Window, confidence: float, draft: Draft) -> None:
    """Measure scored rows, and write the numbers and the rows that they come from."""
    evaluation = measure(scored, holdout, confidence)
    draft.write_json(evaluation)
    scores = _scores_table(scored)
    pq.write_table(scores, draft.path / "scores.parquet", compression="zstd")
    draft.facts.update(
        rows=evaluation["rows"],
        positives=evaluation["positives"],
        slices=len(evaluation["slices"]),
        scores=len(scores),
    )
    log.info(
        "measured %d held-out rows overall and in %d slices", evaluation["rows"], len(evaluation["slices"])
    )


def _on_batches(scorer: SavedScorer) -> Scorer:
    from ml.features.requests import as_tensors

    return lambda batch: scorer(as_tensors(scorer.types, batch))


def _scores_table(scored: Scored) -> pa.Table:
    count = len(scored.labels)
    rows = np.arange(count) if count <= MAX_SCORES else np.linspace(0, count - 1, MAX_SCORES).astype(np.intp)
    columns = {
        "label": pa.array(scored.labels[rows].astype(np.int8)),
        "candidate": _probabilities(scored.candidate, rows),
        "production": _probabilities(scored.production, rows),
    }
    return pa.table(columns | {f"slice.{part.name}": _slice_names(part, rows) for part in scored.partitions})


def _probabilities(scores: Scores | None, rows: Indices) -> pa.Array:
    if scores is None:
        return pa.nulls(len(rows), pa.float32())
    chosen = scores[rows]
    return pa.array(chosen, pa.float32(), mask=~((chosen >= 0) & (chosen <= 1)))


def _slice_names(part: Partition, rows: Indices) -> pa.DictionaryArray:
    codes = part.codes[rows].astype(np.int32) - 1
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(part.slices, pa.string()))
