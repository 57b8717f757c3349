from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.artifact import Artifact, Window
from ml.config import Pipeline
from ml.errors import Withheld
from ml.release.fence import JUDGE_TRIAL_AGAIN, check_blessing, check_fence, judge_night_again
from ml.release.versions import Version, version_number

FIRST_DAY = date(2026, 11, 1)
DAYS = st.integers(0, 20)


def version(day: int, count: int = 1) -> Version:
    window = Window.of_day(FIRST_DAY + timedelta(days=day), "UTC")
    number = version_number(FIRST_DAY + timedelta(days=day), count)
    return Version(number, Artifact(kind="model", uri=f"store:{number}", digest=str(number)), window)


def passes(candidate: Version, judged_against: int | None, served: Version | None) -> bool:
    try:
        check_fence(candidate, judged_against, served, JUDGE_TRIAL_AGAIN)
    except Withheld:
        return False
    return True


def test_the_first_model_passes():
    assert passes(version(0), None, None)


def test_a_newer_model_that_was_judged_against_what_is_served_passes():
    assert passes(version(1), version(0).number, version(0))


def test_a_model_of_an_older_day_is_stale():
    with pytest.raises(Withheld, match=r"STALE: 20261101001 has seen data up to 2026-11-02"):
        check_fence(version(0), version(1).number, version(1), JUDGE_TRIAL_AGAIN)


def test_another_model_of_the_same_day_is_stale():
    with pytest.raises(Withheld, match="STALE"):
        check_fence(version(1, count=2), version(1).number, version(1), JUDGE_TRIAL_AGAIN)


@pytest.mark.parametrize(
    ("judged_against", "served"),
    [(None, version(0)), (version(0).number, version(1)), (version(0).number, None)],
)
def test_a_model_that_was_judged_against_another_version_is_refused(
    judged_against: int | None, served: Version | None
):
    with pytest.raises(Withheld, match=r"judged against .* Judge it again"):
        check_fence(version(9), judged_against, served, JUDGE_TRIAL_AGAIN)


def test_a_night_is_judged_again_for_a_new_reason_and_named_by_the_moment_it_begins_at(pipeline: Pipeline):
    landing = pipeline.landing.model_copy(update={"time_zone": "Asia/Tokyo"})
    east = pipeline.model_copy(update={"landing": landing})
    window = Window.of_day(date(2026, 11, 20), "Asia/Tokyo")
    candidate = replace(version(19), window=window)

    said = judge_night_again(east, candidate)

    moment = "2026-11-19T15:00:00+00:00"
    assert f"--dag-id retrain_{east.name} --from-date {moment} --to-date {moment} --reprocess" in said
    assert """--dag-run-conf '{"refresh_production": "…"}'""" in said
    assert said.endswith(f'run --pipeline {east.name} --day 2026-11-20 --refresh-production "…"')


@given(st.lists(st.tuples(DAYS, DAYS), max_size=30))
def test_in_whatever_order_runs_come_what_is_served_only_ever_gets_newer(runs: Sequence[tuple[int, int]]):
    """A run is a candidate's day and how many publications ago it read the pointer."""
    served: list[Version | None] = [None]
    for day, publications_ago in runs:
        read = served[max(0, len(served) - 1 - publications_ago)]
        if passes(version(day), read.number if read else None, served[-1]):
            served.append(version(day))

    watermarks = [each.watermark for each in served if each]
    assert watermarks == sorted(set(watermarks))


def test_a_blessing_lets_through():
    check_blessing({"verdict": "PASS", "publish": True, "reasons": []})


@pytest.mark.parametrize("publish", [False, None, "true", 1])
def test_anything_but_a_blessing_is_withheld_with_its_reasons(publish: object):
    blessing = {"verdict": "FAIL", "publish": publish, "reasons": ["auc fell", "device.mobile is worse"]}

    with pytest.raises(Withheld, match=r"FAIL: auc fell; device.mobile is worse"):
        check_blessing(blessing)
