"""AUC, PR-AUC, log loss and calibration as estimates with influences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ml.evaluation.estimate import Estimate, FloatArray, Scale
from ml.evaluation.ranking import Ranking

LEAST_OF_A_CLASS = 2


@dataclass(frozen=True)
class Metric:
    """How a metric is computed and read.

    Attributes:
        estimate: needs at least `LEAST_OF_A_CLASS` rows of each label.
        scale: on which its interval is symmetric.
        title: its name in sentences.
        compared: whether a difference between models is a gain or a loss. Calibration is none: 0.9 and
            1.1 are equally far from right.
        lower_is_better: turns the sign of a gain.
    """

    estimate: Callable[[Ranking], Estimate]
    scale: Scale
    title: str
    compared: bool = True
    lower_is_better: bool = False


def auc(ranking: Ranking) -> Estimate:
    """Area under the ROC curve: how often a positive outranks a negative, ties counting a half.

    Influences are the structural components of E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson,
    "Comparing the areas under two or more correlated ROC curves", Biometrics 44, 1988, so variances and
    covariances are theirs exactly. They come from mid-ranks in O(n log n), as in X. Sun and W. Xu, "Fast
    implementation of DeLong's algorithm", IEEE Signal Processing Letters 21, 2014.
    """
    positive = ranking.labels[ranking.order]
    first, last = ranking.ties()
    cumulated = np.concatenate([[0], np.cumsum(positive)])
    positives, negatives = cumulated[-1], len(positive) - cumulated[-1]
    positives_below = (cumulated[first] + cumulated[last + 1]) / 2
    negatives_below = (first + last + 1) / 2 - positives_below
    placement = np.where(positive, negatives_below / negatives, 1 - positives_below / positives)
    value = float(placement[positive].mean())
    spread = np.where(
        positive, 1 / np.sqrt(positives * (positives - 1.0)), 1 / np.sqrt(negatives * (negatives - 1.0))
    )
    return Estimate(value, ranking.by_row((placement - value) * spread))


def pr_auc(ranking: Ranking) -> Estimate:
    r"""Area under the precision-recall curve as average precision, without interpolation.

    With A(s) the share of rows that are positive and score s or more, B(s) the share that score s or more,
    and p the share of positives, average precision is E[y A(s) / B(s)] / p. Its derivative in the direction
    of one row (y0, s0), von Mises' functional derivative, gives the row's influence::

        (y0 A(s0) / B(s0) + y0 E[y 1(s <= s0) / B(s)] - E[y A(s) 1(s <= s0) / B(s)^2] - AP y0) / p

    The interval is made on the logit scale, as K. Boyd, K. H. Eng and C. D. Page, "Area under the
    precision-recall curve: point estimates and confidence intervals", ECML PKDD 2013, recommend.
    """
    positive = ranking.labels[ranking.order]
    first, last = ranking.ties()
    count = len(positive)
    cumulated = np.concatenate([[0], np.cumsum(positive)])
    scored = count - first
    precision = (cumulated[-1] - cumulated[first]) / scored
    value = float(precision[positive].mean())
    share = cumulated[-1] / count
    gained = np.cumsum(positive / scored)[last]
    diluted = np.cumsum(positive * precision / scored)[last]
    influence = (positive * (precision + gained - value) - diluted) / share
    return Estimate(value, ranking.by_row(influence / np.sqrt(count * (count - 1.0))))


def log_loss(ranking: Ranking) -> Estimate:
    """Mean negative log-likelihood in nats.

    Scores are kept one machine epsilon of their own type away from 0 and 1, as scikit-learn does. The
    difference of two models on the same rows has the spread of the paired t-test.
    """
    predicted = ranking.scores.astype(np.float64)
    chance = np.where(ranking.labels, predicted, 1 - predicted)
    epsilon = np.finfo(ranking.scores.dtype).eps
    losses = -np.log(np.clip(chance, epsilon, 1 - epsilon))
    return _mean(losses, np.ones_like(losses))


def calibration(ranking: Ranking) -> Estimate:
    """Predicted over actual positives: above 1 the model promises too much.

    The influence is that of a ratio of means (the delta method).
    """
    return _mean(ranking.scores.astype(np.float64), ranking.labels.astype(np.float64))


def positive_rate(ranking: Ranking) -> Estimate:
    """The share of positives; of clicks, the click-through rate. It does not look at the scores."""
    return _mean(ranking.labels.astype(np.float64), np.ones(len(ranking.labels)))


def _mean(values: FloatArray, weights: FloatArray) -> Estimate:
    """The sum of ``values`` over the sum of ``weights``."""
    count, total = len(values), weights.sum()
    ratio = float(values.sum() / total)
    influence = (values - ratio * weights) * (count / total)
    return Estimate(ratio, influence / np.sqrt(count * (count - 1.0)))


METRICS = {
    "auc": Metric(auc, "logit", "AUC"),
    "pr_auc": Metric(pr_auc, "logit", "PR-AUC"),
    "log_loss": Metric(log_loss, "linear", "log loss", lower_is_better=True),
    "calibration": Metric(calibration, "log", "calibration", compared=False),
}
