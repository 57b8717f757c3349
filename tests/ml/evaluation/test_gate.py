from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from ml.artifact import canonical_json
from ml.config import Pipeline
from ml.evaluation.gate import PRECEDENCE, decide_blessing, judge
from ml.evaluation.layout import Evaluation, Gain, Interval, Section
from ml.evaluation.verdict import PUBLISHED, Blessing, Evidence
from ml.store import Draft

TODAY = datetime(2026, 3, 11, tzinfo=timezone.utc)
YESTERDAY = TODAY - timedelta(days=1)
NO_PRODUCTION: dict[str, Any] = {"version": None, "watermark": None}
SOUND: dict[str, Any] = {"stop": False, "findings": []}
QUANTITY = {
    "feature": "quantity",
    "severity": "stop",
    "description": "312 values are below 1",
    "type": "INT_TYPE_SMALL_INT",
}


def served(watermark: datetime | None = YESTERDAY) -> dict[str, Any]:
    return {"version": 20260310001, "watermark": watermark and watermark.isoformat()}


def drift_report(device: bool | None = False, price: bool | None = False) -> dict[str, Any]:
    features = [drift_of("device", device, 0.213), drift_of("price", price, 0.15)]
    return {"reason": None, "features": features}


def drift_of(feature: str, drifted: bool | None, bits: float) -> dict[str, Any]:
    return {
        "feature": feature,
        "drifted": drifted,
        "divergence_bits": bits if drifted else 0.001,
        "reason": "too few rows" if drifted is None else None,
        "movers": [{"cell": "mobile", "baseline_share": 0.612, "today_share": 0.304}],
    }


NOT_MEASURED: dict[str, Any] = {"reason": "there is no baseline", "features": []}
NO_FEATURES: dict[str, Any] = {"reason": None, "features": []}


def gain_of(relative: float, error: float) -> Gain:
    return Gain(
        relative=relative,
        absolute=relative * 0.73,
        low=relative - 1.96 * error,
        high=relative + 1.96 * error,
        standard_error=error,
        p_value=2 * float(ndtr(-abs(relative) / error)) if error else None,
        detectable=2.802 * error,
    )


def section(
    rows: int = 10_000, gain: Gain | None = None, auc: float = 0.73, calibration: float = 1.0
) -> Section:
    candidate = {
        "auc": Interval(value=auc, low=auc - 0.01, high=auc + 0.01),
        "calibration": Interval(value=calibration, low=calibration - 0.02, high=calibration + 0.02),
    }
    return Section(
        rows=rows,
        positives=rows // 6,
        reason=None,
        candidate=candidate,
        production=candidate if gain else None,
        gain={"auc": gain} if gain else None,
    )


def unmeasured(rows: int, positives: int, reason: str) -> Section:
    return Section(rows=rows, positives=positives, reason=reason, candidate=None, production=None, gain=None)


def beside_zero(rows: int = 10_000) -> Section:
    """Production ranks every negative first: of its AUC of 0 no gain is a share."""
    return {**section(rows), "production": {"auc": Interval(value=0.0, low=0.0, high=0.0)}}


def evaluation(overall: Section, **slices: Section) -> Evaluation:
    return Evaluation(
        holdout={"start": "2026-03-10T19:00:00+00:00", "end": "2026-03-11T00:00:00+00:00"},
        confidence=0.95,
        rows=overall["rows"],
        positives=overall["positives"],
        overall=overall,
        slices=slices,
    )


CLEAR_GAIN = gain_of(0.01, 0.002)
GOOD = Evidence(
    watermark=TODAY,
    production=served(),
    anomalies=SOUND,
    drift_report=drift_report(),
    evaluation=evaluation(section(gain=CLEAR_GAIN), mobile=section(2000, CLEAR_GAIN)),
)
FIRST = replace(GOOD, production=NO_PRODUCTION, evaluation=evaluation(section(), mobile=section(2000)))
STOPPED = {"stop": True, "findings": [QUANTITY]}


def shown(overall: Section, **slices: Section) -> Evidence:
    return replace(GOOD, evaluation=evaluation(overall, **slices))


CASES = [
    # what is new                                        verdict         what the first reason says
    ("a clear gain", GOOD, "PASS", "1.00% better"),
    ("no production yet", FIRST, "BOOTSTRAP", "no production version yet"),
    ("no production and no drift report", replace(FIRST, drift_report=None), "BOOTSTRAP", "no production"),
    # --- the watermark
    ("as old as production", replace(GOOD, production=served(TODAY)), "STALE", "only newer data"),
    ("older than production", replace(GOOD, production=served(TODAY + timedelta(1))), "STALE", "only newer"),
    ("production without watermark", replace(GOOD, production=served(None)), "STALE", "no watermark"),
    ("production not looked up", replace(GOOD, production=None), "FAIL", "not found out which version"),
    # --- the data
    ("anomalies", replace(GOOD, anomalies=STOPPED), "PAUSED", "quantity: 312 values are below 1"),
    ("stopped", replace(GOOD, anomalies=STOPPED, drift_report=None, evaluation=None), "PAUSED", "quantity"),
    ("no validation", replace(GOOD, anomalies=None), "PAUSED", "validation did not finish"),
    (
        "drift",
        replace(GOOD, drift_report=drift_report(device=True)),
        "PAUSED",
        "(most: mobile, from 61.2% to",
    ),
    ("drift not told", replace(GOOD, drift_report=drift_report(None)), "PAUSED", "drifted: too few rows"),
    ("a feature left out", replace(GOOD, drift_report=NO_FEATURES), "PAUSED", "report does not have it"),
    ("no baseline", replace(GOOD, drift_report=NOT_MEASURED), "PAUSED", "there is no baseline"),
    ("no drift report", replace(GOOD, drift_report=None), "PAUSED", "report is missing"),
    # --- the evaluation
    ("no evaluation", replace(GOOD, evaluation=None), "FAIL", "training or evaluation did not finish"),
    ("no evaluation and no production", replace(FIRST, evaluation=None), "FAIL", "did not finish"),
    ("scores that are NaN", shown(unmeasured(9000, 900, "candidate gave 3")), "FAIL", "candidate gave 3"),
    ("no positive", shown(unmeasured(9000, 0, "0 of 9000 rows")), "INCONCLUSIVE", "0 of 9000 rows"),
    ("too few rows", shown(section(999, CLEAR_GAIN)), "INCONCLUSIVE", "999 held-out rows"),
    ("too few rows, and bad", shown(section(999, gain_of(-0.5, 0.001), 0.1)), "INCONCLUSIVE", "999 held-out"),
    ("just enough rows", shown(section(1000, CLEAR_GAIN)), "PASS", "1.00% better"),
    ("too few rows for a first", replace(FIRST, evaluation=evaluation(section(999))), "INCONCLUSIVE", "999"),
    # --- the floors
    ("AUC below", shown(section(gain=CLEAR_GAIN, auc=0.59)), "FAIL", "AUC is 0.5900"),
    ("AUC on the floor", shown(section(gain=CLEAR_GAIN, auc=0.6)), "PASS", "better"),
    ("promises too much", shown(section(gain=CLEAR_GAIN, calibration=1.3)), "FAIL", "1.300 positives"),
    ("promises too little", shown(section(gain=CLEAR_GAIN, calibration=0.7)), "FAIL", "0.700 positives"),
    ("a first below", replace(FIRST, evaluation=evaluation(section(auc=0.5))), "FAIL", "AUC is 0.5000"),
    # --- the gain: min_gain is 0.2 %
    ("production not compared", shown(section()), "FAIL", "was not compared"),
    (
        "production at 0",
        shown(beside_zero()),
        "FAIL",
        "not compared: production's AUC is 0, of which no gain is",
    ),
    ("a gain at the limit", shown(section(gain=gain_of(0.002, 0.0001))), "PASS", "0.20% better"),
    (
        "a gain that may be chance",
        shown(section(gain=gain_of(0.005, 0.004))),
        "INCONCLUSIVE",
        "may be chance",
    ),
    ("a sure gain, too small", shown(section(gain=gain_of(0.001, 0.0001))), "FAIL", "the interval rules out"),
    (
        "too small, perhaps",
        shown(section(gain=gain_of(0.001, 0.001))),
        "INCONCLUSIVE",
        "neither reached nor ruled out",
    ),
    ("a small loss, perhaps", shown(section(gain=gain_of(-0.001, 0.002))), "INCONCLUSIVE", "0.10% worse"),
    ("a sure loss", shown(section(gain=gain_of(-0.01, 0.002))), "FAIL", "1.00% worse"),
    (
        "a copy of production",
        shown(section(gain={**gain_of(0, 0), "p_value": 1.0})),
        "FAIL",
        "the interval rules out",
    ),
    ("an untestable gain", shown(section(gain=gain_of(0.3, 0))), "INCONCLUSIVE", "no spread to test it by"),
    # --- the slices: 1 % may be lost, 200 rows are asked for
    (
        "a slice that surely lost",
        shown(section(gain=CLEAR_GAIN), tv=section(900, gain_of(-0.05, 0.01))),
        "FAIL",
        "slice tv: AUC is 5.00% worse",
    ),
    (
        "a slice that may have lost",
        shown(section(gain=CLEAR_GAIN), tv=section(900, gain_of(-0.02, 0.02))),
        "PASS",
        "better",
    ),
    (
        "a slice that surely lost what it may lose",
        shown(section(gain=CLEAR_GAIN), tv=section(900, gain_of(-0.005, 0.001))),
        "PASS",
        "better",
    ),
    (
        "a slice too small to vote",
        shown(section(gain=CLEAR_GAIN), tv=section(199, gain_of(-0.5, 0.01))),
        "PASS",
        "better",
    ),
    (
        "a slice that is large and could not be compared",
        shown(section(gain=CLEAR_GAIN), tv=unmeasured(900, 0, "0 of 900 rows are positive")),
        "INCONCLUSIVE",
        "slice tv has 900 rows and could not be compared: 0 of 900",
    ),
    (
        "a slice in which production is at 0",
        shown(section(gain=CLEAR_GAIN), tv=beside_zero(900)),
        "INCONCLUSIVE",
        "slice tv has 900 rows and could not be compared: production's AUC is 0, of which no gain is a share",
    ),
]


@pytest.mark.parametrize(("evidence", "verdict", "words"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_gate_answers(pipeline: Pipeline, evidence: Evidence, verdict: str, words: str) -> None:
    blessing = judge(pipeline, evidence)

    assert blessing.verdict == verdict
    assert words in blessing.reasons[0]
    assert blessing.publish == (verdict in PUBLISHED)


def test_nothing_at_all_is_not_published(pipeline: Pipeline) -> None:
    assert not judge(pipeline, Evidence(watermark=TODAY)).publish


def test_all_reasons_are_given_the_weightiest_first(pipeline: Pipeline) -> None:
    everything = Evidence(
        watermark=TODAY,
        production=served(TODAY),
        anomalies=SOUND,
        drift_report=drift_report(device=True, price=True),
        evaluation=evaluation(section(gain=gain_of(0.005, 0.004), auc=0.5)),
    )
    blessing = judge(pipeline, everything)

    assert blessing.verdict == "STALE"
    starts = [
        "the candidate's data end",
        "device is",
        "price is",
        "AUC is 0.5000, where",
        "AUC is 0.5000 and",
    ]
    assert [reason.startswith(start) for reason, start in zip(blessing.reasons, starts, strict=True)] == [
        True
    ] * 5


def test_a_slice_is_excused_when_very_many_vote(pipeline: Pipeline) -> None:
    unlucky = section(900, gain_of(-0.01 - 2.0 * 0.01, 0.01))
    alone = shown(section(gain=CLEAR_GAIN), unlucky=unlucky)
    others = {f"s{number}": section(900, gain_of(0.0, 0.01)) for number in range(20)}
    among_many = shown(section(gain=CLEAR_GAIN), unlucky=unlucky, **others)

    assert judge(pipeline, alone).verdict == "FAIL"
    assert judge(pipeline, among_many).verdict == "PASS"


def test_what_did_not_decide_is_told_all_the_same(pipeline: Pipeline) -> None:
    warned = {"stop": False, "findings": [{**QUANTITY, "severity": "warn", "feature": "brand"}]}
    slices = {"tiny": section(7, CLEAR_GAIN), "doubtful": section(900, gain_of(-0.02, 0.02))}
    blessing = judge(pipeline, replace(shown(section(gain=CLEAR_GAIN), **slices), anomalies=warned))

    assert blessing.verdict == "PASS"
    assert [finding.split(" ", 3)[:2] for finding in blessing.findings] == [
        ["brand:", "312"],
        ["slice", "tiny"],
        ["slice", "doubtful"],
    ]


def test_a_slice_that_surely_lost_is_not_called_doubtful_too(pipeline: Pipeline) -> None:
    assert (
        judge(pipeline, shown(section(gain=CLEAR_GAIN), tv=section(900, gain_of(-0.05, 0.01)))).findings == []
    )


def test_an_inconclusive_night_says_what_it_could_have_seen(pipeline: Pipeline) -> None:
    [reason] = judge(pipeline, shown(section(gain=gain_of(0.005, 0.004)))).reasons

    assert "10,000 rows show a gain of 1.12% or more four times in five" in reason
    assert "to show 0.20% it would take about 310,000" in reason


def test_too_few_rows_say_what_they_could_have_seen(pipeline: Pipeline) -> None:
    [reason] = judge(pipeline, shown(section(500, gain_of(0.01, 0.02)))).reasons

    assert "only if it is 5.60% or more)" in reason


def test_a_pass_names_the_version_that_it_holds_for(pipeline: Pipeline) -> None:
    blessing = judge(pipeline, GOOD).as_json()

    assert blessing["judged_against"] == 20260310001
    assert blessing["watermark"] == TODAY.isoformat()


def test_log_loss_can_be_what_counts(pipeline: Pipeline) -> None:
    gate = pipeline.gate.model_copy(update={"metric": "log_loss"})
    compared = section(gain=CLEAR_GAIN)
    loss = Interval(value=0.41, low=0.40, high=0.42)
    for model in (compared["candidate"], compared["production"]):
        assert model is not None
        model["log_loss"] = loss
    compared["gain"] = {"log_loss": CLEAR_GAIN}
    blessing = judge(pipeline.model_copy(update={"gate": gate}), shown(compared))

    assert blessing.verdict == "PASS"
    assert blessing.reasons[0].startswith(
        "log loss is 0.4100 and that of version 20260310001 is 0.4100: 1.00% better"
    )


def test_the_blessing_is_written_with_its_verdict_among_the_facts(pipeline: Pipeline, tmp_path: Path) -> None:
    draft = Draft(tmp_path, "blessing")
    decide_blessing(pipeline, GOOD, draft)

    assert draft.facts == {"verdict": "PASS", "publish": True}
    written = json.loads((tmp_path / "blessing.json").read_text())
    assert written["rules"][0] == {
        "rule": "watermark",
        "passed": True,
        "observed": "2026-03-11T00:00:00+00:00",
        "expected": "after 2026-03-10T00:00:00+00:00",
        "refusal": "STALE",
        "reason": "the candidate's data end 2026-03-11 00:00 UTC, those of version 20260310001, which is "
        "serving, 2026-03-10 00:00 UTC, and only newer data are published",
    }


GAINS = st.builds(gain_of, st.floats(-0.1, 0.1), st.floats(0, 0.1))
SECTIONS = st.one_of(
    st.builds(section, st.integers(0, 5000), st.none() | GAINS, st.floats(0, 1), st.floats(0, 3)),
    st.builds(unmeasured, st.integers(0, 5000), st.integers(0, 5000), st.just("it could not be")),
)
CHANGES = {
    "watermark": st.datetimes(timezones=st.just(timezone.utc)),
    "production": st.none() | st.just(NO_PRODUCTION) | st.builds(served, st.none() | st.just(YESTERDAY)),
    "anomalies": st.sampled_from([None, SOUND, STOPPED]),
    "drift_report": st.none() | st.builds(drift_report, *[st.sampled_from([True, False, None])] * 2),
    "evaluation": st.none() | st.builds(evaluation, SECTIONS, tv=SECTIONS, mobile=SECTIONS),
}


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    """Good evidence with any part of it changed."""
    changed = draw(st.fixed_dictionaries({}, optional=CHANGES))
    return replace(draw(st.sampled_from([GOOD, FIRST])), **changed)


@settings(deadline=None)
@given(evidences())
def test_the_gate_opens_only_if_every_rule_is_passed(pipeline: Pipeline, evidence: Evidence) -> None:
    blessing = judge(pipeline, evidence)

    assert blessing.publish == all(rule.passed for rule in blessing.rules)
    assert blessing.reasons
    assert_consistent(blessing)


def assert_consistent(blessing: Blessing) -> None:
    refusals = [rule.refusal for rule in blessing.rules if not rule.passed]
    assert blessing.verdict == min(refusals, key=PRECEDENCE.index, default=blessing.verdict)
    assert canonical_json(blessing.as_json())


@settings(deadline=None)
@given(evidences())
def test_a_gate_that_opened_had_everything_before_it(pipeline: Pipeline, evidence: Evidence) -> None:
    if not judge(pipeline, evidence).publish:
        return
    assert evidence.production is not None
    assert evidence.anomalies == SOUND
    assert evidence.evaluation is not None
    assert evidence.evaluation["rows"] >= 1000
    if evidence.served_version is not None:
        assert evidence.watermark > YESTERDAY
        assert evidence.drift_report == drift_report()


@settings(deadline=None)
@given(evidences(), st.sampled_from(["anomalies", "evaluation", "production"]))
def test_taking_evidence_away_never_opens_the_gate(
    pipeline: Pipeline, evidence: Evidence, taken: str
) -> None:
    assert not judge(pipeline, replace(evidence, **{taken: None})).publish


def test_the_gate_needs_no_tensorflow() -> None:
    code = "import sys, ml.evaluation; print('tensorflow' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "False"
