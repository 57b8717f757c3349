from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm, ttest_rel

from ml.evaluation.estimate import Estimate
from ml.evaluation.layout import Gain
from ml.evaluation.metrics import METRICS
from ml.evaluation.paired import compare, rejected_by_holm
from ml.evaluation.ranking import Labels, Ranking, Scores

LABELS = np.arange(40) % 3 == 0
SCORES = arrays(np.float64, len(LABELS), elements=st.floats(0.01, 0.99))
COMPARED = [name for name, metric in METRICS.items() if metric.compared]


def gain_of(name: str, labels: Labels, candidate: Scores, production: Scores) -> Gain:
    metric = METRICS[name]
    estimates = [metric.estimate(Ranking.of(labels, scores)) for scores in (candidate, production)]
    gain = compare(*estimates, confidence=0.95, lower_is_better=metric.lower_is_better)
    assert gain is not None
    return gain


@settings(deadline=None)
@given(SCORES, SCORES, st.sampled_from(COMPARED))
def test_swapping_the_models_turns_the_gain(candidate: Scores, production: Scores, name: str) -> None:
    there = gain_of(name, LABELS, candidate, production)
    back = gain_of(name, LABELS, production, candidate)

    assert back["absolute"] == -there["absolute"]
    assert (1 + there["relative"]) * (1 + back["relative"]) == pytest.approx(1) or name == "log_loss"
    if there["p_value"] is not None and back["p_value"] is not None:
        assert there["p_value"] == pytest.approx(back["p_value"])


@settings(deadline=None)
@given(SCORES, st.sampled_from(COMPARED))
def test_a_copy_of_production_gains_nothing(scores: Scores, name: str) -> None:
    gain = gain_of(name, LABELS, scores, scores.copy())

    assert (gain["relative"], gain["absolute"], gain["low"], gain["high"]) == (0, 0, 0, 0)
    assert gain["p_value"] == 1


@settings(deadline=None)
@given(SCORES, SCORES, st.sampled_from(COMPARED))
def test_a_gain_above_zero_is_for_the_better(candidate: Scores, production: Scores, name: str) -> None:
    gain = gain_of(name, LABELS, candidate, production)
    values = [METRICS[name].estimate(Ranking.of(LABELS, scores)).value for scores in (candidate, production)]

    assert (gain["absolute"] > 0) == (values[0] < values[1] if name == "log_loss" else values[0] > values[1])
    assert gain["relative"] == pytest.approx(gain["absolute"] / values[1])


def test_auc_is_compared_by_delongs_test(generator: np.random.Generator) -> None:
    labels = generator.random(200) < 0.3
    models = [np.round(labels + generator.normal(size=200), 1) for _ in range(2)]
    areas, positive_parts, negative_parts = [], [], []
    for scores in models:
        wins = (scores[labels][:, None] > scores[~labels]) + (scores[labels][:, None] == scores[~labels]) / 2
        areas.append(wins.mean())
        positive_parts.append(wins.mean(1))
        negative_parts.append(wins.mean(0))
    covariance = np.cov(positive_parts) / labels.sum() + np.cov(negative_parts) / (~labels).sum()
    contrast = np.array([1, -1])
    z = (areas[0] - areas[1]) / np.sqrt(contrast @ covariance @ contrast)

    assert gain_of("auc", labels, *models)["p_value"] == pytest.approx(2 * norm.sf(abs(z)), rel=1e-9)


def test_log_loss_is_compared_by_the_paired_test(generator: np.random.Generator) -> None:
    labels = generator.random(20_000) < 0.3
    candidate, production = generator.uniform(0.2, 0.4, (2, 20_000))
    losses = [-np.log(np.where(labels, scores, 1 - scores)) for scores in (candidate, production)]
    expected = ttest_rel(losses[1], losses[0]).pvalue

    assert gain_of("log_loss", labels, candidate, production)["p_value"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", COMPARED)
def test_the_spread_of_a_relative_gain_is_that_of_a_paired_bootstrap(
    generator: np.random.Generator, name: str
) -> None:
    labels = generator.random(2000) < 0.2
    shared = labels + generator.normal(size=2000)
    models = [1 / (1 + np.exp(1.5 - shared - noise * generator.normal(size=2000))) for noise in (0.3, 4.0)]
    draws = generator.integers(0, 2000, (400, 2000))
    resampled = [gain_of(name, labels[rows], *(m[rows] for m in models))["relative"] for rows in draws]

    assert gain_of(name, labels, *models)["standard_error"] == pytest.approx(np.std(resampled), rel=0.12)


def test_the_detectable_gain_is_found_four_times_in_five(generator: np.random.Generator) -> None:
    unit = Estimate(0.8, np.array([0.01, 0.0]))
    gain = compare(unit, Estimate(0.8, np.zeros(2)), 0.95, lower_is_better=False)
    assert gain is not None
    drawn = generator.normal(gain["detectable"], gain["standard_error"], 20_000)

    found = drawn / gain["standard_error"] > norm.ppf(0.975)
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_a_difference_without_spread_cannot_be_tested() -> None:
    gain = compare(Estimate(1.0, np.zeros(4)), Estimate(0.5, np.zeros(4)), 0.95, lower_is_better=False)

    assert gain is not None
    assert gain["p_value"] is None


def test_nothing_is_a_share_of_zero() -> None:
    assert compare(Estimate(1.0, np.zeros(4)), Estimate(0.0, np.zeros(4)), 0.95, lower_is_better=True) is None


@pytest.mark.parametrize(
    ("p_values", "rejected"),
    [
        ({}, set()),
        ({"a": 0.05}, {"a"}),
        ({"a": 0.03, "b": 0.03}, set()),
        ({"a": 0.02, "b": 0.04}, {"a", "b"}),
        ({"a": 0.01, "b": 0.04, "c": 0.03}, {"a"}),
        ({"a": 0.0, "b": 0.9, "c": 0.02}, {"a", "c"}),
    ],
)
def test_holm_rejects_from_the_smallest_until_one_stands(
    p_values: dict[str, float], rejected: set[str]
) -> None:
    assert rejected_by_holm(p_values, 0.05) == rejected


@settings(deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), st.floats(0, 1), max_size=8))
def test_holm_rejects_what_bonferroni_rejects_and_nothing_above_the_size(p_values: dict[str, float]) -> None:
    rejected = rejected_by_holm(p_values, 0.05)

    assert {name for name, p in p_values.items() if p <= 0.05 / len(p_values)} <= rejected
    assert all(p_values[name] <= 0.05 for name in rejected)
