from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics import log_loss as log_loss_of_sklearn

from ml.evaluation.metrics import METRICS, auc, calibration, log_loss, pr_auc
from ml.evaluation.ranking import Labels, Ranking, Scores

EXACT = {"abs": 1e-9, "rel": 1e-9}


@st.composite
def rankings(draw: st.DrawFn) -> Ranking:
    """Rows with ties, scores at the very edge, and two of each label at least."""
    some = st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]) | st.floats(0, 1))
    rows = draw(st.lists(some, min_size=1, max_size=60))
    rows += [(label, draw(st.floats(0, 1))) for label in (True, True, False, False)]
    labels, scores = zip(*draw(st.permutations(rows)), strict=True)
    return Ranking.of(np.array(labels), np.array(scores))


def noisy(generator: np.random.Generator, rows: int, share: float = 0.2) -> tuple[Labels, Scores]:
    labels = generator.random(rows) < share
    return labels, 1 / (1 + np.exp(1.5 - labels - generator.normal(size=rows)))


@settings(deadline=None)
@given(rankings())
def test_auc_is_that_of_scikit_learn(ranking: Ranking) -> None:
    assert auc(ranking).value == pytest.approx(roc_auc_score(ranking.labels, ranking.scores), **EXACT)


@settings(deadline=None)
@given(rankings())
def test_pr_auc_is_the_average_precision_of_scikit_learn(ranking: Ranking) -> None:
    expected = average_precision_score(ranking.labels, ranking.scores)

    assert pr_auc(ranking).value == pytest.approx(expected, **EXACT)


@settings(deadline=None)
@given(rankings())
def test_log_loss_is_that_of_scikit_learn(ranking: Ranking) -> None:
    expected = log_loss_of_sklearn(ranking.labels, ranking.scores)

    assert log_loss(ranking).value == pytest.approx(expected, **EXACT)


@settings(deadline=None)
@given(rankings())
def test_calibration_is_predicted_over_actual_positives(ranking: Ranking) -> None:
    expected = ranking.scores.sum() / ranking.labels.sum()

    assert calibration(ranking).value == pytest.approx(expected, **EXACT)


@settings(deadline=None)
@given(rankings(), st.sampled_from(["auc", "pr_auc"]))
def test_ranking_metrics_see_the_order_alone(ranking: Ranking, name: str) -> None:
    stretched = Ranking.of(ranking.labels, rankdata(ranking.scores, "dense") ** 3)

    metric = METRICS[name].estimate
    assert metric(stretched).value == metric(ranking).value
    assert metric(stretched).standard_error == pytest.approx(metric(ranking).standard_error)


@settings(deadline=None)
@given(rankings(), st.sampled_from(sorted(METRICS)), st.randoms())
def test_the_order_of_the_rows_does_not_matter(ranking: Ranking, name: str, random: object) -> None:
    rows = np.arange(len(ranking.labels))
    random.shuffle(rows)  # type: ignore[attr-defined]
    shuffled = METRICS[name].estimate(Ranking.of(ranking.labels[rows], ranking.scores[rows]))

    as_it_was = METRICS[name].estimate(ranking)
    assert shuffled.value == pytest.approx(as_it_was.value)
    assert shuffled.influence == pytest.approx(as_it_was.influence[rows], abs=1e-9)


@settings(deadline=None)
@given(rankings(), st.sampled_from(sorted(METRICS)))
def test_influences_balance(ranking: Ranking, name: str) -> None:
    assert METRICS[name].estimate(ranking).influence.sum() == pytest.approx(0, abs=1e-9)


def test_a_reversed_ranking_has_the_opposite_auc(generator: np.random.Generator) -> None:
    labels, scores = noisy(generator, 500)

    assert auc(Ranking.of(labels, 1 - scores)).value == pytest.approx(
        1 - auc(Ranking.of(labels, scores)).value
    )


def test_the_spread_of_auc_is_that_of_delong_computed_from_every_pair(generator: np.random.Generator) -> None:
    labels, scores = noisy(generator, 300)
    scores = np.round(scores, 1)
    positive, negative = scores[labels], scores[~labels]
    wins = (positive[:, None] > negative) + (positive[:, None] == negative) / 2
    variance = wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative)

    assert auc(Ranking.of(labels, scores)).standard_error == pytest.approx(np.sqrt(variance), rel=1e-12)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_the_spread_is_that_of_a_bootstrap(generator: np.random.Generator, name: str) -> None:
    labels, scores = noisy(generator, 2000)
    draws = generator.integers(0, len(labels), (400, len(labels)))
    metric = METRICS[name].estimate
    resampled = [metric(Ranking.of(labels[rows], scores[rows])).value for rows in draws]

    assert metric(Ranking.of(labels, scores)).standard_error == pytest.approx(np.std(resampled), rel=0.12)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_an_interval_holds_the_truth_as_often_as_it_says(generator: np.random.Generator, name: str) -> None:
    metric = METRICS[name]
    truth = metric.estimate(Ranking.of(*noisy(generator, 400_000))).value
    estimates = [metric.estimate(Ranking.of(*noisy(generator, 1000))) for _ in range(400)]
    held = [low < truth < high for low, high in (e.interval(0.9, metric.scale) for e in estimates)]

    assert np.mean(held) == pytest.approx(0.9, abs=0.045)


def test_a_perfect_ranking_has_an_interval_all_the_same() -> None:
    estimate = auc(Ranking.of(np.array([False, False, True, True]), np.array([0.1, 0.2, 0.8, 0.9])))

    assert (estimate.value, *estimate.interval(0.95, "logit")) == (1.0, 1.0, 1.0)
