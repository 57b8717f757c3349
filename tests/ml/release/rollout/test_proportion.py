"""However often one looks: the rates of wrong decisions stay what they are said to be."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln
from scipy.stats import binomtest

from ml.config import Rollout
from ml.release.rollout.judgement import judge
from ml.release.rollout.observations import Answers, Histogram, Observations
from ml.release.rollout.proportion import Proportion

TRIALS = st.integers(1, 5000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))
SINCE = datetime(2026, 11, 20, tzinfo=timezone.utc)
BOUNDS = [0.01, 0.02, 0.05, 0.1, 0.2]


@given(TRIALS, st.floats(0.0001, 0.5))
def test_the_estimate_lies_between_the_bounds(seen: tuple[int, int], error: float):
    proportion = Proportion(*seen)

    assert 0 <= proportion.lower(error) <= proportion.estimate <= proportion.upper(error) <= 1


@given(TRIALS, st.floats(0.0001, 0.2))
def test_who_may_be_wrong_less_often_knows_less(seen: tuple[int, int], error: float):
    proportion = Proportion(*seen)

    assert proportion.lower(error / 2) <= proportion.lower(error)
    assert proportion.upper(error / 2) >= proportion.upper(error)


@given(TRIALS, st.floats(0.0001, 0.2))
def test_the_bounds_of_the_opposite_are_the_opposite_bounds(seen: tuple[int, int], error: float):
    count, total = seen
    opposite = Proportion(total - count, total)

    assert Proportion(count, total).upper(error) == pytest.approx(1 - opposite.lower(error), abs=1e-9)


def test_of_no_trials_everything_is_possible():
    assert (Proportion(0, 0).lower(0.05), Proportion(0, 0).upper(0.05)) == (0.0, 1.0)


@pytest.mark.parametrize("truth", [0.01, 0.3])
def test_looking_at_every_request_the_truth_stays_between_the_bounds(truth: float):
    """Where the usual interval of a single look leaves it out at some look most of the time."""
    random, error, runs, length = np.random.default_rng(7), 0.05, 400, 1500
    counts = np.cumsum(random.random((runs, length)) < truth, axis=1)
    totals = np.arange(1, length + 1)
    mixed = betaln(counts + 0.5, totals - counts + 0.5) - math.log(math.pi)
    against = mixed - counts * math.log(truth) - (totals - counts) * math.log(1 - truth)
    usual = 1.96 * np.sqrt(truth * (1 - truth) / totals)

    left_out = int((against >= math.log(1 / error)).any(axis=1).sum())
    left_out_by_the_usual = int((np.abs(counts / totals - truth) > usual)[:, 100:].any(axis=1).sum())

    assert binomtest(left_out, runs, error, alternative="greater").pvalue > 0.001
    assert left_out_by_the_usual > 4 * error * runs
    row, column = np.argwhere(against >= math.log(1 / error))[0]
    seen = Proportion(int(counts[row, column]), int(totals[column]))
    assert not seen.lower(error) < truth < seen.upper(error)


def looks(canary_fails: float, canary_slow: float, seed: int, looks: int = 15) -> set[str]:
    """Every decision that is taken at the looks of one trial, 120 canary requests from one to the next.

    Of stable 1 % fail, 0.4 % take longer than 0.05 s, and the scores are evenly spread.
    """
    random = np.random.default_rng(seed)
    limits = Rollout(min_requests=1000, max_minutes=looks + 1, false_alarm=0.1, missed_alarm=0.1)
    rates = {"canary": (120, canary_fails, canary_slow), "stable": (1080, 0.01, 0.004)}
    totals = {track: np.zeros(13, int) for track in rates}
    decisions = set()
    for look in range(1, looks + 1):
        for track, (asked, fails, slow) in rates.items():
            failed = random.binomial(asked, fails)
            ok = asked - failed
            late = random.binomial(ok, slow)
            seconds = [0, ok - late, ok - late, ok - late + late // 2, ok, ok]
            scores = np.cumsum(random.multinomial(ok, [0.2] * 5))
            totals[track] += np.array([ok, failed, *seconds, *scores])
        seen = Observations(
            SINCE, SINCE + timedelta(minutes=look), answers(totals["stable"]), answers(totals["canary"])
        )
        decision = judge(seen, limits).decision
        decisions.add(decision)
        if decision in ("ROLL_BACK", "PROMOTE"):
            break
    return decisions


def answers(totals: np.ndarray) -> Answers:
    ok, failed, *rest = map(int, totals)
    seconds = dict(zip([*BOUNDS, math.inf], rest[:6], strict=True))
    scores = dict(zip([0.2, 0.4, 0.6, 0.8, math.inf], rest[6:], strict=True))
    return Answers(ok, failed, Histogram(seconds), Histogram(scores))


def share_of(decision: str, **canary: float) -> tuple[int, int]:
    runs = 25
    return sum(decision in looks(**canary, seed=seed) for seed in range(runs)), runs


def test_a_canary_like_stable_is_seldom_rolled_back_however_often_it_is_judged():
    wrong, runs = share_of("ROLL_BACK", canary_fails=0.01, canary_slow=0.004)

    assert binomtest(wrong, runs, 0.1, alternative="greater").pvalue > 0.001


def test_a_canary_at_the_very_limit_is_seldom_rolled_back_and_seldom_promoted():
    rolled_back, runs = share_of("ROLL_BACK", canary_fails=0.02, canary_slow=0.004)
    promoted, _ = share_of("PROMOTE", canary_fails=0.02, canary_slow=0.004)

    assert binomtest(rolled_back, runs, 0.1, alternative="greater").pvalue > 0.001
    assert binomtest(promoted, runs, 0.1, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize(("fails", "slow"), [(0.15, 0.004), (0.01, 0.2)])
def test_a_bad_canary_is_found_out(fails: float, slow: float):
    found, runs = share_of("ROLL_BACK", canary_fails=fails, canary_slow=slow)

    assert found == runs
