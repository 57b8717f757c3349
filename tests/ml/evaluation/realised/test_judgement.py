"""The later word on a canary, from joined rows whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ml.config import Floors, Realised
from ml.evaluation.realised.judgement import Later, Side, judge
from ml.evaluation.realised.tracks import CLICKS, measure_tracks

LIMITS = Realised(inputs=("user_id",), min_rows=1000, clicks_lost=0.05, log_loss_gained=0.05)
FLOORS = Floors(auc=0.6, calibration_low=0.8, calibration_high=1.25)
CALM = {"users": 5_000, "rows": 40_000}


def answered(
    generator: np.random.Generator,
    track: str,
    users: int,
    rows: int,
    *,
    clicks: float = 1.0,
    promised: float = 1.0,
    noise: float = 0.0,
    whims: float = 0.0,
) -> pa.Table:
    """Joined rows of users who differ by ``whims``, and of a model that knows but for its ``noise``."""
    user = generator.integers(0, users, rows)
    taste = generator.normal(size=rows) + whims * generator.normal(size=users)[user]
    truth = clicks / (1 + np.exp(2.0 - taste))
    score = promised / (1 + np.exp(-(np.log(truth / (1 - truth)) + noise * generator.normal(size=rows))))
    return pa.table(
        {
            "track": [track] * rows,
            "user": [f"{track}-{number}" for number in user],
            "score": np.clip(score, 0, 1),
            "label": generator.random(rows) < truth,
        }
    )


def judged(canary: pa.Table, stable: pa.Table, answers: dict[str, int] | None = None, **limits: Any) -> Later:
    measured = measure_tracks(pa.concat_tables([canary, stable]))
    asked = answers or {track: round(1.2 * one.rows) for track, one in measured.items()}
    sides = {track: Side(asked[track], measured[track]) for track in measured}
    return judge(sides, LIMITS.model_copy(update=limits), FLOORS)


@pytest.fixture
def stable(generator: np.random.Generator) -> pa.Table:
    return answered(generator, "stable", 40_000, 300_000)


def test_a_canary_whose_users_click_as_much_is_confirmed_and_the_numbers_say_why(generator, stable):
    later = judged(answered(generator, "canary", 20_000, 150_000), stable)

    assert later.verdict == "CONFIRMED", later.reasons
    assert [finding.name for finding in later.findings] == ["clicks", "log_loss", "calibration"]
    assert "of the canary's answers were clicked" in later.reasons[0]


def test_a_canary_whose_users_click_less_is_doubted(generator, stable):
    later = judged(answered(generator, "canary", **CALM, clicks=0.8), stable)

    assert later.verdict == "DOUBTED"
    assert "lost (" in later.reasons[0]
    assert "allowed is 5.0%" in later.reasons[0]


def test_a_canary_whose_scores_say_less_is_doubted_by_its_log_loss(generator, stable):
    later = judged(answered(generator, "canary", **CALM, noise=2.0), stable)

    assert later.verdict == "DOUBTED"
    assert any("the canary's log loss is" in reason for reason in later.reasons)


def test_a_canary_that_promises_too_much_is_doubted_by_its_calibration(generator, stable):
    later = judged(answered(generator, "canary", **CALM, promised=1.8), stable, log_loss_gained=0.9)

    assert later.verdict == "DOUBTED"
    assert "clicks for each that came" in later.reasons[0]


def test_few_rows_leave_it_open_and_say_what_they_could_show(generator, stable):
    later = judged(answered(generator, "canary", 500, 1_500), stable)

    assert later.verdict == "INCONCLUSIVE"
    assert "so few rows show" in later.reasons[0]


@pytest.mark.parametrize(
    ("rows", "users", "expected"),
    [
        (999, 500, "expected at least 1,000 (realised.min_rows)"),
        (2_000, 99, "rows are of 99 users, expected at least 100"),
    ],
)
def test_too_little_is_never_judged(generator, stable, rows, users, expected):
    later = judged(answered(generator, "canary", users, rows), stable)

    assert later.verdict == "INCONCLUSIVE"
    assert expected in later.reasons[0]


def test_no_answers_and_no_clicks_are_findings_and_never_a_pass(generator, stable):
    canary = answered(generator, "canary", **CALM)
    silent = judged(canary.slice(0, 0), stable, {"canary": 0, "stable": 300_000})
    barren = canary.set_column(3, "label", pa.array([False] * len(canary)))

    assert (silent.verdict, "no answer of canary" in silent.reasons[0]) == ("INCONCLUSIVE", True)
    assert (judged(barren, stable).verdict, judged(barren, stable).findings) == ("INCONCLUSIVE", ())


def test_a_score_that_is_no_probability_is_a_reason_for_doubt(generator, stable):
    canary = answered(generator, "canary", **CALM)
    wrong = canary.set_column(2, "score", pa.array([1.5, *canary["score"].to_pylist()[1:]]))

    assert judged(wrong, stable).verdict == "DOUBTED"
    assert judged(canary, stable.set_column(2, "score", pa.array([float("nan")] * len(stable)))).verdict == (
        "INCONCLUSIVE"
    )


def test_tracks_whose_answers_lead_to_unequal_shares_of_events_prove_nothing(generator, stable):
    canary = answered(generator, "canary", **CALM, clicks=0.8)
    later = judged(canary, stable, {"canary": 2 * len(canary), "stable": len(stable)})

    assert later.verdict == "INCONCLUSIVE"
    assert later.reasons[0].startswith("events came of 50.0% of the canary's answers and 100.0% of stable's")


def test_users_who_differ_make_intervals_wider_than_rows_would(generator):
    whimsical = measure_tracks(answered(generator, "canary", 300, 30_000, whims=1.5))["canary"]
    alone = whimsical.estimates[CLICKS]

    by_rows = np.sqrt(alone.value * (1 - alone.value) / whimsical.rows)
    assert alone.standard_error > 3 * by_rows


def test_an_equal_canary_is_hardly_ever_doubted_although_its_users_differ(generator):
    """With no margin at all, two equal tracks come out as doubted at most as often as the confidence says."""
    strict = {"clicks_lost": 1e-9, "log_loss_gained": 1e-9}
    doubted = 0
    for _ in range(200):
        sides = [answered(generator, track, 400, 4_000, whims=1.0) for track in ("canary", "stable")]
        doubted += judged(*sides, **strict).verdict == "DOUBTED"

    # Two comparisons of half of 1.7 % each, and calibration never: 200 tries give more than 10 hardly ever.
    assert doubted <= 10
