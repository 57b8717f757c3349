"""How often the gate is right, measured on nights whose truth is known.

The scores are binormal (D. D. Dorfman and E. Alf, "Maximum-likelihood estimation of parameters of
signal-detection theory", Journal of Mathematical Psychology 6, 1969): a row's logit is normal with the same
spread for both labels. How far apart they lie gives the true AUC, and the scores are calibrated.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import numpy as np
from scipy.special import expit, logit, ndtri

from ml.artifact import Window
from ml.config import Pipeline
from ml.evaluation.estimate import FloatArray
from ml.evaluation.gate import judge
from ml.evaluation.ranking import Labels
from ml.evaluation.report import Scored, measure
from ml.evaluation.slices import Partition
from ml.evaluation.verdict import Blessing, Evidence, Verdict

MIDNIGHT = datetime(2026, 1, 2, tzinfo=timezone.utc)
HOLDOUT = Window(MIDNIGHT - timedelta(hours=5), MIDNIGHT)


@dataclass(frozen=True)
class Truth:
    """What is really so in a simulated night.

    Attributes:
        rows: how many are held out.
        gain: the candidate's true relative gain in AUC; 0 for a model that is as good as production.
        production_auc: production's true AUC.
        positive_share: of the rows.
        correlation: of the two models' logits among rows with the same label.
        slices: how many equal parts the rows are cut into at random.
    """

    rows: int
    gain: float = 0.0
    production_auc: float = 0.73
    positive_share: float = 0.15
    correlation: float = 0.9
    slices: int = 6


def simulate(pipeline: Pipeline, truth: Truth, nights: int, seed: int) -> Counter[Verdict]:
    """Draw nights, measure each and count the gate's verdicts."""
    generator = np.random.default_rng(seed)
    return Counter(judge_night(pipeline, draw(truth, generator)).verdict for _ in range(nights))


def judge_night(pipeline: Pipeline, scored: Scored) -> Blessing:
    """Measure one night and judge it, with sound data and an older version serving."""
    evidence = Evidence(
        watermark=HOLDOUT.end,
        production={"version": 20260101001, "watermark": (HOLDOUT.end - timedelta(days=1)).isoformat()},
        anomalies={"stop": False, "findings": []},
        drift_report={"reason": None, "features": [_undrifted(name) for name in pipeline.drift.thresholds]},
        evaluation=measure(scored, HOLDOUT, pipeline.gate.confidence),
    )
    return judge(pipeline, evidence)


def draw(truth: Truth, generator: np.random.Generator) -> Scored:
    """One night's held-out rows."""
    labels = generator.random(truth.rows) < truth.positive_share
    shared, own, other = generator.normal(size=(3, truth.rows))
    weight, rest = np.sqrt(truth.correlation), np.sqrt(1 - truth.correlation)
    candidate_auc = truth.production_auc * (1 + truth.gain)
    return Scored(
        labels=labels,
        candidate=_scores(truth, labels, candidate_auc, weight * shared + rest * own),
        production=_scores(truth, labels, truth.production_auc, weight * shared + rest * other),
        partitions=[_part(truth, generator)] if truth.slices else [],
    )


def _scores(truth: Truth, labels: Labels, auc: float, noise: FloatArray) -> FloatArray:
    distance = np.sqrt(2) * ndtri(auc)
    evidence = distance * (labels * distance + noise) - distance**2 / 2
    scores: FloatArray = expit(evidence + logit(truth.positive_share))
    return scores


def _part(truth: Truth, generator: np.random.Generator) -> Partition:
    codes = generator.integers(1, truth.slices + 1, truth.rows, dtype=np.uint8)
    return Partition("part", tuple(f"part.{number}" for number in range(truth.slices)), codes)


def _undrifted(feature: str) -> dict[str, object]:
    return {"feature": feature, "drifted": False, "divergence_bits": 0.0, "movers": []}
