from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ml.backfill.asked import Asked
from ml.backfill.day_plan import DayPlan
from ml.backfill.findings import count_days, find_concerns, summarise
from ml.day import Day
from ml.decisions import deciding
from ml.landing import Remains
from ml.manifest import Identity
from ml.release import Served
from tests.ml.backfill.conftest import NOTHING_SERVED, OUTDATED, Nights

EVERYTHING = [
    "offsets", "examples", "statistics", "anomalies", "production", "drift_report", "training_window",
    "model", "evaluation", "blessing",
]  # fmt: skip
COMPLETE = Remains("complete", 0.0, None)
GONE = Remains("expired", 1.0, 0)


def made(plan: DayPlan) -> list[str]:
    """What would be made."""
    return [step["kind"] for step in plan["steps"] if step["outcome"] == "new"]


def causes(plan: DayPlan) -> dict[str, str]:
    """What would be made for a reason of its own, and the reason."""
    return {step["kind"]: step["why"] for step in plan["steps"] if step["cause"] and step["outcome"] == "new"}


def why(plan: DayPlan, kind: str) -> str:
    return next(step["why"] for step in plan["steps"] if step["kind"] == kind)


def test_a_night_that_was_run_would_make_nothing(nights: Nights) -> None:
    nights.run(1)

    [plan] = nights.plan(1, 1)

    assert made(plan) == []
    assert plan["landed"] == {"examples": 1000, "rejects": 0, "late": 0, "caveats": []}
    assert (plan["seconds"], plan["publication"]) == (0, "nothing: FAIL")


def test_a_day_that_was_never_run_would_make_everything(nights: Nights) -> None:
    nights.check(0)

    [plan] = nights.plan(1, 1)

    assert made(plan) == EVERYTHING
    assert causes(plan) == {"offsets": "not made yet", "production": "not made yet"}
    assert why(plan, "model") == "training_window would be new"
    assert (plan["landed"], plan["landed_before"]) == (None, False)


def test_a_changed_setting_is_named_with_both_values(nights: Nights) -> None:
    nights.run(1)
    nights.configure("training", epochs=3, seed=8)

    [plan] = nights.plan(1, 1)

    assert made(plan) == ["model", "evaluation", "blessing"]
    assert causes(plan) == {"model": "training.epochs 1 → 3, training.seed 7 → 8"}


def test_a_setting_that_no_step_reads_recomputes_nothing(nights: Nights) -> None:
    nights.run(1)
    nights.pipeline = nights.pipeline.model_copy(update={"description": "in other words", "tags": ("new",)})

    assert made(nights.plan(1, 1)[0]) == []


def edit_schema(nights: Nights, old: str, new: str) -> None:
    path = nights.pipeline.schema_path
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('feature { name: "age"', 'feature { name: "os" type: BYTES }\nfeature { name: "age"'),
        ('name: "age" type: INT', 'name: "age" type: FLOAT'),
    ],
)
def test_a_changed_column_lands_the_day_anew_and_says_so(nights: Nights, old: str, new: str) -> None:
    nights.run(1)
    edit_schema(nights, old, new)

    [plan] = nights.plan(1, 1)

    assert made(plan) == [kind for kind in EVERYTHING if kind != "production"]
    assert causes(plan) == {"offsets": "the columns of schema.pbtxt changed"}
    assert plan["landed_before"]


def test_a_wider_domain_checks_the_landed_day_anew_although_its_records_are_gone(nights: Nights) -> None:
    nights.run(1)
    edit_schema(nights, 'name: "age" type: INT', 'name: "age" type: INT int_domain { min: 0 max: 150 }')

    [plan] = nights.plan(1, 1, remains={0: GONE, 1: GONE})

    assert made(plan) == [kind for kind in EVERYTHING if kind not in ("offsets", "examples", "production")]
    assert causes(plan) == {"statistics": "schema.pbtxt changed"}
    assert (plan["landed"]["examples"], plan["rejected"]) == (1000, "")


def test_a_gate_that_changed_judges_again_and_trains_nothing(nights: Nights) -> None:
    nights.run(1)
    nights.configure("gate", min_gain=0.5)

    assert causes(nights.plan(1, 1)[0]) == {"evaluation": "gate.min_gain 0.0 → 0.5"}


def test_a_window_of_other_days_is_a_changed_input(nights: Nights) -> None:
    nights.run(1)
    nights.configure("training", window_days=1)

    earlier = "anomalies-2026-03-10, examples-2026-03-10, statistics-2026-03-10"
    assert causes(nights.plan(1, 1)[0]) == {"training_window": f"other {earlier} than last time"}


def test_a_day_learns_anew_if_an_earlier_day_of_its_window_would_be_new(nights: Nights) -> None:
    nights.check(1)

    [plan] = nights.plan(1, 1)

    assert plan["also_lands"] == ["2026-03-10"]
    assert why(plan, "training_window") == "2026-03-10, which it learns from, would be new"


def test_an_earlier_day_is_landed_once(nights: Nights) -> None:
    nights.configure("training", window_days=3)

    assert [plan["also_lands"] for plan in nights.plan(2, 4)] == [["2026-03-10", "2026-03-11"], [], []]


def test_a_model_of_the_day_before_does_not_make_the_day_new(nights: Nights) -> None:
    nights.run(2)
    nights.check(1)

    before, plan = nights.plan(1, 2)

    assert "model" in made(before)
    assert made(plan) == []


def test_what_retention_has_deleted_cannot_be_landed(nights: Nights) -> None:
    [plan] = nights.plan(1, 1, {0: COMPLETE, 1: Remains("partly expired", 0.4, None)})

    assert plan["rejected"] == "WindowExpired"
    assert made(plan) == ["production", "blessing"]
    assert why(plan, "examples") == "in the topic the day is partly expired, 40% of it lost"
    assert plan["publication"] == "nothing: the day is rejected (WindowExpired)"


def test_a_gap_that_a_person_accepted_is_landed_and_its_caveat_shown(nights: Nights) -> None:
    with deciding(Day(nights.pipeline, nights.window(1), nights.store)) as decisions:
        decisions.adding("accept_gap", "the broker was lost").save()
    gone = {0: COMPLETE, 1: Remains("partly expired", 0.4, None)}

    [before] = nights.plan(1, 1, gone)
    nights.land(1, caveats=["2026-03-11: about 40% of the window was lost"])
    [after] = nights.plan(1, 1, gone)

    assert (before["rejected"], made(before)) == ("", EVERYTHING)
    assert before["decision"] == {"accept_gap": "the broker was lost"}
    assert find_concerns([after], NOTHING_SERVED) == ["2026-03-11: about 40% of the window was lost"]


def test_a_compacted_topic_lands_nothing_that_nobody_accepted(nights: Nights) -> None:
    plans = nights.plan(1, 1, {1: Remains("compacted", 0.0, None)})

    assert plans[0]["rejected"] == "WindowExpired"
    assert "2026-03-11 (compacted)" in find_concerns(plans, NOTHING_SERVED)[0]


def test_a_landed_day_does_not_need_the_topic(nights: Nights) -> None:
    nights.run(1)

    assert made(nights.plan(1, 1, {0: GONE, 1: GONE})[0]) == []


def test_an_earlier_day_that_is_gone_is_left_out_of_the_window(nights: Nights) -> None:
    nights.check(1)

    [plan] = nights.plan(1, 1, {0: GONE, 1: COMPLETE})

    assert (plan["also_lands"], plan["rejected"]) == ([], "")
    assert causes(plan)["training_window"] == "not made yet"


def test_what_housekeeping_removed_is_named_with_its_reason(nights: Nights) -> None:
    nights.run(1)
    nights.housekeep("model")

    [plan] = nights.plan(1, 1)

    assert causes(plan) == {"model": f"removed by housekeeping on 2026-08-01: {OUTDATED}"}
    assert count_days([plan])["to_recompute"] == 1


def test_removed_days_that_would_now_be_made_otherwise_say_both(nights: Nights) -> None:
    nights.run(1)
    nights.housekeep("model")
    nights.configure("training", epochs=3)

    [plan] = nights.plan(1, 1)

    otherwise, removed = causes(plan)["model"].split("; others were ")
    assert otherwise == "not made with these settings and inputs"
    assert removed == f"removed by housekeeping on 2026-08-01: {OUTDATED}"


def test_a_gap_says_that_the_day_had_been_landed_and_who_took_it(nights: Nights) -> None:
    nights.run(1)
    nights.housekeep("examples", "offsets")

    plans = nights.plan(1, 1, {0: COMPLETE, 1: GONE})

    removed = f"removed by housekeeping on 2026-08-01: {OUTDATED}"
    assert (plans[0]["rejected"], plans[0]["removed"]) == ("WindowExpired", removed)
    assert why(plans[0], "examples").endswith(f"100% of it lost, and its examples were {removed}")
    [concern] = find_concerns(plans, NOTHING_SERVED)
    assert "2026-03-11 (removed by housekeeping on 2026-08-01" in concern
    assert "raise housekeeping.examples_days" in concern


def test_a_gap_of_a_day_that_was_never_landed_blames_nobody_else(nights: Nights) -> None:
    plans = nights.plan(1, 1, {1: GONE})

    assert plans[0]["removed"] == ""
    assert "housekeeping" not in find_concerns(plans, NOTHING_SERVED)[0]


def test_what_was_removed_and_made_again_is_kept(nights: Nights) -> None:
    nights.run(1)
    nights.housekeep("examples", "offsets")
    nights.run(1)

    [plan] = nights.plan(1, 1)

    assert (made(plan), plan["removed"]) == ([], "")


@pytest.mark.parametrize(
    ("counts", "error"), [({"accepted": 0}, "NoRecords"), ({"rejected": {"not JSON": 900}}, "TooManyRejects")]
)
def test_a_day_that_landing_rejected_is_known_without_running_it(
    nights: Nights, counts: dict[str, object], error: str
) -> None:
    if "rejected" in counts:
        counts["reject_examples"] = {"not JSON": {"partition": 0, "offset": 0}}
    nights.land(1, **counts)

    [plan] = nights.plan(1, 1)

    assert plan["rejected"] == error
    assert "statistics" not in made(plan)


def test_a_day_that_validation_stopped_trains_nothing_and_measures_its_drift(nights: Nights) -> None:
    nights.check(1, stop=True)

    [plan] = nights.plan(1, 1)

    assert plan["rejected"] == "AnomaliesFound"
    assert made(plan) == ["production", "drift_report", "blessing"]
    assert plan["also_lands"] == []


def test_the_time_is_the_median_of_the_past_scaled_by_rows(nights: Nights) -> None:
    nights.run(1)
    nights.seconds = 6.0
    nights.run(3)
    nights.land(4, accepted=3000)
    nights.configure("training", epochs=2)

    usual, busy = nights.plan(3, 4)

    assert usual["seconds"] == pytest.approx(3 * 4.0)  # model, evaluation, blessing
    assert busy["seconds"] == pytest.approx(4 * 12.0 + 4 * 4.0)  # of eight steps, four grow with the rows


def test_a_step_without_history_is_said_to_have_none(nights: Nights) -> None:
    nights.check(0)

    [plan] = nights.plan(1, 1)

    assert plan["seconds"] == 8.0  # offsets, examples, statistics, anomalies
    assert plan["no_history"] == sorted(EVERYTHING[4:])


def test_an_empty_store_has_no_estimate(nights: Nights) -> None:
    assert nights.plan(1, 1)[0]["seconds"] is None


def test_a_day_behind_the_watermark_publishes_nothing(nights: Nights) -> None:
    served = Served(20260312001, nights.window(2).end, aliased=True)

    plans = nights.plan(1, 3, served=served)

    assert [plan["publishes"] for plan in plans] == [False, False, True]
    assert plans[0]["publication"] == "nothing: STALE, 20260312001 has seen newer data"


def test_a_verdict_against_another_version_is_refused_by_the_fence(nights: Nights) -> None:
    nights.run(1, publish=True, judged_against=20260309001)

    [plan] = nights.plan(1, 1, served=Served(20260310001, nights.window(0).end, aliased=True))

    assert plan["publication"] == "nothing: judged against 20260309001, 20260310001 serves now"


def test_a_what_if_takes_the_days_data_and_publishes_nothing(nights: Nights) -> None:
    nights.run(1)
    nights.try_out("more-epochs")

    [plan] = nights.plan(1, 1)

    assert causes(plan)["statistics"] == "the what-if more-epochs makes its own"
    assert {"offsets", "examples"}.isdisjoint(made(plan))
    assert plan["publication"] == "nothing: a what-if is never published"


def test_nothing_is_promised_if_the_model_server_is_silent(nights: Nights) -> None:
    [plan] = nights.plan(1, 1, served=None)

    assert (plan["publishes"], plan["publication"]) == (False, "unknown: what serves could not be asked")


def test_code_alone_recomputes_nothing_and_is_said(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    nights.run(1)
    monkeypatch.setattr("ml.backfill.day_plan.code_version", lambda: {"commit": "f" * 40, "dirty": False})

    plans = nights.plan(1, 1)

    assert made(plans[0]) == []
    assert len(plans[0]["other_commits"]) == 1
    [concern] = find_concerns(plans, NOTHING_SERVED)
    assert concern.startswith("results of 1 days that would be kept were made by other commits")


def test_a_step_whose_revision_was_raised_is_made_again_for_that_reason(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    identify = Day.identify

    def raised(day: Day, kind: str, *made_of: Any) -> Identity:
        return replace(identify(day, kind, *made_of), revision=2 if kind == "model" else 1)

    nights.run(1)
    monkeypatch.setattr(Day, "identify", raised)
    [plan] = nights.plan(1, 1)

    assert made(plan) == ["model", "evaluation", "blessing"]
    assert causes(plan) == {"model": "the step's revision is 2, was 1"}


def test_every_day_is_counted_once_and_the_sentence_says_what_counts(nights: Nights) -> None:
    nights.run(1)
    nights.check(2)
    remains = dict.fromkeys(range(5), COMPLETE) | {4: GONE}
    served = Served(20260319001, nights.window(9).end, aliased=True)
    plans = nights.plan(0, 4, remains, served)

    totals = count_days(plans)

    states = {"kept": 1, "to_land": 1, "to_finish": 2, "to_recompute": 0, "rejected": 0, "gaps": 1}
    assert {state: totals[state] for state in states} == states
    sentence = summarise(totals, Served(20260320001, nights.window(9).end, aliased=True))
    assert sentence.startswith(
        "5 days: 1 kept as they are, 1 to land, 2 to go on with, 1 gone from Kafka. About"
    )
    assert sentence.endswith(
        "Published: nothing; 20260320001 serves and has seen data up to 2026-03-20 00:00 UTC."
    )


def test_an_alias_that_disagrees_is_a_finding(nights: Nights) -> None:
    [concern] = find_concerns(nights.plan(1, 1), Served(20260309001, nights.window(0).end, aliased=False))

    assert "would stop at resolve_production" in concern


PARTLY = Remains("partly expired", 0.4, 600)


def test_a_gap_that_would_be_accepted_is_landed_and_what_that_decides_is_said(nights: Nights) -> None:
    nights.run(0)
    left = {1: PARTLY}
    [refused] = nights.plan(1, 1, remains=left)

    plans = nights.plan(0, 1, remains={0: GONE, **left}, asked=Asked(accept_gap="broker outage"))

    assert refused["rejected"] == "WindowExpired"
    assert [plan["rejected"] for plan in plans] == ["", ""]
    assert [made(plan)[:1] for plan in plans] == [[], ["offsets"]]
    assert [plan["decision"] for plan in plans] == [{}, {"accept_gap": "broker outage"}]
    [concern] = find_concerns(plans, NOTHING_SERVED)
    assert concern.startswith("2026-03-11 would be landed with what the topic still holds, and stay so")


def test_a_decision_about_a_day_before_another_asks_for_the_order_of_the_days(nights: Nights) -> None:
    asked = Asked(accept_gap="broker outage")

    _, order = find_concerns(nights.plan(1, 2, remains={1: PARTLY, 2: COMPLETE}, asked=asked), NOTHING_SERVED)
    [_] = find_concerns(nights.plan(0, 1, remains={0: COMPLETE, 1: PARTLY}, asked=asked), NOTHING_SERVED)

    assert order.startswith("run the days oldest first and one at a time")


def test_days_that_would_be_refreshed_are_landed_anew_and_no_day_before_them(nights: Nights) -> None:
    nights.run(1)
    asked = Asked(refresh_landing="a delayed batch")

    [plan] = nights.plan(1, 1, remains={0: COMPLETE, 1: COMPLETE}, asked=asked)

    assert made(plan) == [kind for kind in EVERYTHING if kind != "production"]
    assert causes(plan) == {"offsets": "decision.refresh (none) → a delayed batch"}
    assert (plan["decision"], plan["also_lands"]) == ({"refresh": "a delayed batch"}, [])


def test_a_refreshment_that_the_day_had_is_none_again(nights: Nights) -> None:
    day = Day(nights.pipeline, nights.window(1), nights.store)
    with deciding(day) as decisions:
        decisions.adding("refresh", "a delayed batch").save()
    nights.run(1)

    assert made(nights.plan(1, 1, asked=Asked(refresh_landing="a delayed batch"))[0]) == []


def test_a_refreshment_of_a_day_that_the_topic_has_lost_is_refused(nights: Nights) -> None:
    nights.run(1)
    left, late = {1: PARTLY}, Asked(refresh_landing="late")

    [plan] = nights.plan(1, 1, remains=left, asked=late)
    [accepted] = nights.plan(1, 1, remains=left, asked=replace(late, accept_gap="it will do"))

    assert (plan["rejected"], accepted["rejected"]) == ("WindowExpired", "")
    assert accepted["decision"] == {"refresh": "late", "accept_gap": "it will do"}


def test_what_would_be_judged_anew_trains_nothing(nights: Nights) -> None:
    nights.run(1)

    [plan] = nights.plan(1, 1, asked=Asked(refresh_production="rolled back on 12 March"))

    assert made(plan) == ["production", "drift_report", "evaluation", "blessing"]
    assert causes(plan) == {"production": "refresh (none) → rolled back on 12 March"}
    assert count_days([plan])["to_recompute"] == 1
