"""What the users of two tracks did, and how right each track's scores were about it.

The router splits by user, so users are what was drawn, and rows of one user are not independent. Each row's
influence on a metric (`ml.evaluation.estimate`) is therefore summed by user before anything is squared: the
variance is that of a sample of clusters (K.-Y. Liang and S. L. Zeger, "Longitudinal data analysis using
generalized linear models", Biometrika 73, 1986; A. Deng, U. Knoblich and J. Lu, "Applying the delta method in
metric analytics", KDD 2018). A user of both tracks counts in the covariance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.evaluation.estimate import Estimate
from ml.evaluation.metrics import LEAST_OF_A_CLASS, METRICS, auc, calibration, log_loss, positive_rate
from ml.evaluation.ranking import Ranking
from ml.trials import TRACKS

CLICKS = "positive_rate"
MEASURES: Mapping[str, Callable[[Ranking], Estimate]] = {
    CLICKS: positive_rate,
    "calibration": calibration,
    "log_loss": log_loss,
    "auc": auc,
}
SCALES = {CLICKS: "logit", **{name: METRICS[name].scale for name in ("calibration", "log_loss", "auc")}}


@dataclass(frozen=True, eq=False)
class Track:
    """The joined answers of one track in one trial.

    Attributes:
        rows: how many.
        positives: how many of them were followed by a positive event.
        users: how many users they belong to.
        mean_score: what was predicted on average; NaN without rows.
        impossible: how many scores are no probabilities.
        estimates: metric → value, with the influence of every user of both tracks; empty if one of the labels
            is too rare, or a score is no probability.
    """

    rows: int
    positives: int
    users: int
    mean_score: float
    impossible: int
    estimates: Mapping[str, Estimate]


def measure_tracks(rows: pa.Table) -> dict[str, Track]:
    """Both tracks of one trial.

    Args:
        rows: ``track``, ``user``, ``score`` and ``label`` of each joined answer.
    """
    users = pc.unique(rows["user"])
    codes = pc.index_in(rows["user"], value_set=users).to_numpy()
    found = {}
    for track in TRACKS:
        chosen = pc.equal(rows["track"], track).to_numpy()
        labels, scores = (rows[name].to_numpy()[chosen] for name in ("label", "score"))
        found[track] = _measure(labels.astype(np.bool_), scores, codes[chosen], len(users))
    return found


def _measure(
    labels: NDArray[np.bool_], scores: NDArray[np.float64], users: NDArray[np.int32], count: int
) -> Track:
    positives = int(np.count_nonzero(labels))
    impossible = int(np.count_nonzero(~((scores >= 0) & (scores <= 1))))
    estimates: dict[str, Estimate] = {}
    if not impossible and min(positives, len(labels) - positives) >= LEAST_OF_A_CLASS:
        ranking = Ranking.of(labels, scores)
        estimates = {name: _by_user(of(ranking), users, count) for name, of in MEASURES.items()}
    mean = float(scores.mean()) if len(scores) else float("nan")
    return Track(len(labels), positives, len(np.unique(users)), mean, impossible, estimates)


def _by_user(estimate: Estimate, users: NDArray[np.int32], count: int) -> Estimate:
    summed = np.bincount(users, estimate.influence, minlength=count)
    return Estimate(estimate.value, np.asarray(summed, np.float64))
