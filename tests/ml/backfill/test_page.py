from __future__ import annotations

from ml.backfill.findings import count_days, find_concerns, summarise
from ml.backfill.page import render_plan
from ml.backfill.plan import Plan
from ml.landing import Remains
from tests.ml.backfill.conftest import NOTHING_SERVED, OUTDATED, Nights


def page(nights: Nights, remains: dict[int, Remains], width: int = 200) -> str:
    days = nights.plan(0, 2, remains)
    totals = count_days(days)
    findings = find_concerns(days, NOTHING_SERVED)
    plan = Plan(
        pipeline="small",
        days=days,
        served=None,
        findings=findings,
        totals=totals,
        summary=summarise(totals, NOTHING_SERVED),
    )
    return render_plan(plan, width)


def test_the_page_shows_every_day_its_reasons_and_the_totals(nights: Nights) -> None:
    nights.run(1)
    nights.configure("training", epochs=3)

    shown = page(nights, {0: Remains("complete", 0.0, 900), 2: Remains("partly expired", 0.4, 700)})

    assert all(words in shown for words in ("2026-03-10", "2026-03-11", "2026-03-12"))
    assert "model: training.epochs 1 → 3" in shown
    assert "partly expired, 40%" in shown
    assert "! the topic no longer holds these days whole: 2026-03-12 (40% lost)." in shown
    assert shown.splitlines()[-1].endswith("if the gate passes them.")


def test_a_narrow_terminal_loses_no_day_and_no_end_of_a_line(nights: Nights) -> None:
    shown = page(nights, {2: Remains("partly expired", 0.4, 700)}, width=60)

    assert max(len(line) for line in shown.splitlines()) <= 60
    assert shown.count("2026") >= 3


def test_a_day_that_housekeeping_took_and_the_topic_lost_shows_both(nights: Nights) -> None:
    nights.run(1)
    nights.housekeep("examples", "offsets")

    shown = " ".join(page(nights, {1: Remains("expired", 1.0, 0)}, width=400).split())

    assert "│ 2026-03-11 │ removed │ expired, 100% lost │" in shown
    assert "in the topic the day is expired, 100% of it lost, and its examples were removed" in shown
    assert f"removed by housekeeping on 2026-08-01: {OUTDATED}" in shown
