from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from ml.config import Pipeline
from ml.evaluation.metrics import auc, calibration
from ml.evaluation.ranking import Ranking
from ml.evaluation.report import measure
from ml.evaluation.simulation import HOLDOUT, Truth, draw, judge_night, simulate

NIGHTS = 300


def more_than(share: float) -> float:
    """A count of nights that a true share this large, or smaller, does not reach by chance."""
    return float(binom.ppf(0.995, NIGHTS, share))


def test_a_simulated_night_has_the_truth_that_it_was_given(generator: np.random.Generator) -> None:
    scored = draw(Truth(rows=200_000, gain=0.05, production_auc=0.7, slices=0), generator)
    assert scored.production is not None
    candidate, production = (Ranking.of(scored.labels, s) for s in (scored.candidate, scored.production))

    assert auc(production).value == pytest.approx(0.7, abs=0.005)
    assert auc(candidate).value == pytest.approx(0.7 * 1.05, abs=0.005)
    assert calibration(candidate).value == pytest.approx(1, abs=0.02)


def test_an_equal_model_passes_at_most_one_night_in_forty(pipeline: Pipeline) -> None:
    verdicts = simulate(pipeline, Truth(rows=2000, slices=2), NIGHTS, seed=1)

    assert verdicts["PASS"] <= more_than(0.025)


def test_an_equal_model_passes_less_often_the_more_rows_there_are(pipeline: Pipeline) -> None:
    gate = pipeline.gate.model_copy(update={"min_gain": 0.02})
    pipeline = pipeline.model_copy(update={"gate": gate})

    assert simulate(pipeline, Truth(rows=6000, slices=0), NIGHTS, seed=2)["PASS"] <= more_than(0.01)


def test_a_worse_model_hardly_ever_passes(pipeline: Pipeline) -> None:
    assert simulate(pipeline, Truth(rows=2000, gain=-0.03, slices=2), NIGHTS, seed=3)["PASS"] == 0


def test_a_gain_that_the_sample_can_detect_passes_four_nights_in_five(
    pipeline: Pipeline, generator: np.random.Generator
) -> None:
    truth = Truth(rows=2000, gain=0.029, slices=0)
    gains = measure(draw(truth, generator), HOLDOUT, 0.95)["overall"]["gain"]
    assert gains is not None
    assert gains["auc"]["detectable"] == pytest.approx(truth.gain, rel=0.15)

    assert simulate(pipeline, truth, NIGHTS, seed=4)["PASS"] / NIGHTS == pytest.approx(0.8, abs=0.06)


def test_many_slices_that_lost_nothing_seldom_stop_a_candidate(
    pipeline: Pipeline, generator: np.random.Generator
) -> None:
    gate = pipeline.gate.model_copy(update={"slice_margin": 0.0})
    pipeline = pipeline.model_copy(update={"gate": gate})
    nights = [judge_night(pipeline, draw(Truth(rows=4000, slices=12), generator)) for _ in range(NIGHTS)]
    stopped = [any(r.rule.startswith("slice.") and not r.passed for r in night.rules) for night in nights]

    assert sum(stopped) <= more_than(0.05)


def test_one_slice_that_is_really_worse_stops_a_candidate_that_is_better_overall(
    pipeline: Pipeline, generator: np.random.Generator
) -> None:
    scored = draw(Truth(rows=10_000, gain=0.08), generator)
    broken = scored.partitions[0].codes == 3
    scored.candidate[broken] = generator.permutation(scored.candidate[broken])
    night = judge_night(pipeline, scored)

    assert night.verdict == "FAIL"
    assert [rule.rule for rule in night.rules if not rule.passed] == ["slice.part.2.gain.auc"]
