from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ml.config import Rollout
from ml.release.rollout.judgement import Judgement, judge
from ml.release.rollout.observations import Answers, Histogram, Observations

SINCE = datetime(2026, 11, 20, 3, tzinfo=timezone.utc)
LIMITS = Rollout(min_requests=1000, max_minutes=60)


def histogram(**shares: float) -> dict[float, float]:
    """Bound → share at or below it; ``b50`` is 0.050."""
    return {int(bound[1:]) / 1000: share for bound, share in shares.items()} | {math.inf: 1.0}


QUICK = histogram(b5=0.6, b10=0.999, b20=1, b50=1, b100=1)
SLOW = histogram(b5=0, b10=0.1, b20=0.3, b50=0.8, b100=1)
USUAL = histogram(b100=0.3, b300=0.7, b900=0.97)
SHIFTED = histogram(b100=0.02, b300=0.3, b900=0.97)


def answers(
    ok: int,
    failed: int = 0,
    seconds: dict[float, float] = QUICK,
    scores: dict[float, float] | None = USUAL,
) -> Answers:
    def counted(shares: dict[float, float] | None) -> Histogram:
        return Histogram({bound: round(share * ok) for bound, share in (shares or {}).items() if ok})

    return Answers(ok, failed, counted(seconds), counted(scores))


def judged(canary: Answers, stable: Answers | None = None, minutes: float = 10, **limits: Any) -> Judgement:
    seen = Observations(SINCE, SINCE + timedelta(minutes=minutes), stable or answers(9000), canary)
    return judge(seen, LIMITS.model_copy(update=limits))


def test_a_canary_like_stable_is_promoted_and_the_numbers_say_why():
    judgement = judged(answers(1000))

    assert judgement.decision == "PROMOTE"
    assert judgement.reasons[0].startswith("0.00% (0 of 1000) of the canary's requests fail")
    assert len(judgement.reasons) == 3


def test_a_failing_canary_is_rolled_back_before_it_has_the_least_traffic():
    judgement = judged(answers(60, failed=20))

    assert judgement.decision == "ROLL_BACK"
    assert "25.00% (20 of 80) of the canary's requests fail" in judgement.reasons[0]


def test_failures_that_stable_has_too_are_not_the_canarys():
    assert judged(answers(4750, failed=250), answers(42750, failed=2250)).decision != "ROLL_BACK"


def test_a_slow_canary_is_rolled_back():
    judgement = judged(answers(300, seconds=SLOW))

    assert judgement.decision == "ROLL_BACK"
    assert "p99 is 97.5 ms, stable's 9.9 ms: more than 2 times, for sure" in judgement.reasons[0]


def test_a_canary_that_scores_otherwise_is_rolled_back():
    judgement = judged(answers(1000, scores=SHIFTED))

    assert judgement.decision == "ROLL_BACK"
    assert "the scores lie 0.400 apart" in judgement.reasons[0]


def test_scores_that_may_differ_do_not_count():
    assert judged(answers(1000, scores=SHIFTED), score_shift=None).decision == "PROMOTE"


@pytest.mark.parametrize(("minutes", "decision"), [(10, "WAIT"), (60, "HOLD")])
def test_silence_is_no_success_and_says_so(minutes: float, decision: str):
    judgement = judged(answers(0), minutes=minutes)

    assert judgement.decision == decision
    assert judgement.reasons[-1].startswith("nobody has asked the canary")


def test_a_prometheus_that_is_silent_is_silence_too():
    seen = Observations(SINCE, SINCE + timedelta(minutes=61), problem="Prometheus did not answer")

    assert judge(seen, LIMITS).decision == "HOLD"
    assert judge(seen, LIMITS).reasons == ("no decision after 61 minutes", "Prometheus did not answer")


def test_too_little_traffic_is_waited_for_and_then_held():
    assert judged(answers(999)).decision == "WAIT"
    assert judged(answers(999)).reasons == ("the canary has answered 999 requests, expected at least 1000",)
    assert judged(answers(999), minutes=61).decision == "HOLD"


def test_without_stable_there_is_nothing_to_compare_with():
    assert judged(answers(5000), answers(0)).decision == "WAIT"


def test_scores_that_are_expected_and_missing_are_a_finding():
    judgement = judged(answers(5000, scores=None), minutes=61)

    assert judgement.decision == "HOLD"
    assert "there are 0 scores of the canary, 9000 of stable" in judgement.reasons


@pytest.mark.parametrize(("part", "expected"), [(0.5, 0.05), (0.25, 0.025), (0.75, 0.1), (0.95, 0.2)])
def test_a_quantile_lies_between_its_bounds(part: float, expected: float):
    seen = Histogram({-1.0: 0, 0.1: 10 * 5, 0.2: 10 * 10 - 10, math.inf: 100})

    assert Histogram({-1.0: 0, 0.05: 50, 0.1: 75, 0.2: 95, math.inf: 100}).quantile(part) == pytest.approx(
        expected
    )
    assert seen.quantile(1.0) == 0.2
    assert math.isnan(Histogram().quantile(part))
