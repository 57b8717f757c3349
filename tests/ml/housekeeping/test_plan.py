"""Which artifacts may go: on random histories, with another way of finding what can be reached."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.config import Pipeline
from ml.housekeeping.holdings import Holding
from ml.housekeeping.plan import plan_artifacts
from tests.ml.housekeeping.rooms import NOW, holding

KINDS = ("examples", "statistics", "model", "blessing", "letter")
LIMITS = {"examples": 40, "statistics": 30, "model": 20, "blessing": 20, "letter": 10_000}
WHAT_IF_DAYS = 10
FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def stores(draw: st.DrawFn) -> tuple[dict[str, Holding], dict[str, str]]:
    """Artifacts of random kinds and ages that refer to earlier ones, or to ones that are gone; and roots."""
    holdings: dict[str, Holding] = {}
    for number in range(draw(st.integers(0, 14))):
        kind = draw(st.sampled_from(KINDS))
        beside = draw(st.sampled_from(["", "", "what_if/idea/"]))
        uri = f"store:small/{beside}{kind}/2026-01-01-{number:02d}"
        others = draw(st.lists(st.sampled_from([*holdings, "store:small/model/2025-01-01-gone"]), max_size=3))
        holdings[uri] = holding(uri, draw(st.integers(0, 60)), others)
    roots = draw(st.lists(st.sampled_from([*holdings, "store:small/model/2025-01-01-gone"]), max_size=2))
    return holdings, dict.fromkeys(roots, "served")


def is_young(one: Holding) -> bool:
    days = WHAT_IF_DAYS if one.address.what_if else LIMITS[one.address.kind]
    return one.last_used + timedelta(days=days) > NOW


def needed(holdings: dict[str, Holding], roots: dict[str, str]) -> set[str]:
    """The slow and simple way: add what somebody needs until nothing more comes in."""
    found = {
        uri
        for uri, one in holdings.items()
        if uri in roots or (is_young(one) and (one.address.kind != "statistics" or bool(one.address.what_if)))
    }
    while more := {uri for one in found for uri in holdings[one].refers_to if uri in holdings} - found:
        found |= more
    return found


@FIXTURE
@given(stores())
def test_nothing_that_is_needed_goes_and_all_that_is_not_does(
    pipeline: Pipeline, drawn: tuple[dict[str, Holding], dict[str, str]]
) -> None:
    holdings, roots = drawn

    outgoing, kept = plan_artifacts(pipeline, holdings, roots, {}, NOW)

    snapshots = {uri for uri, one in holdings.items() if is_young(one)}
    assert {one.name for one in outgoing} == holdings.keys() - needed(holdings, roots) - snapshots
    assert len(outgoing) + sum(kept.values()) == len(holdings)


@FIXTURE
@given(stores(), st.data())
def test_wherever_it_is_interrupted_nothing_left_has_lost_what_it_was_made_from(
    pipeline: Pipeline, drawn: tuple[dict[str, Holding], dict[str, str]], data: st.DataObject
) -> None:
    holdings, roots = drawn
    outgoing, _ = plan_artifacts(pipeline, holdings, roots, {}, NOW)
    gone = {one.name for one in outgoing[: data.draw(st.integers(0, len(outgoing)))]}

    for uri, one in holdings.items():
        is_snapshot = one.address.kind == "statistics" and not one.address.what_if
        if uri not in gone and not is_snapshot:
            assert not gone & set(one.refers_to)


def test_a_days_model_holds_the_days_that_it_learned_from(pipeline: Pipeline) -> None:
    day, model = "store:small/examples/2026-01-01-a", "store:small/model/2026-01-02-b"
    holdings = {day: holding(day, 50), model: holding(model, 19, [day])}

    outgoing, kept = plan_artifacts(pipeline, holdings, {}, {}, NOW)

    assert outgoing == ()
    assert sum(kept.values()) == 2


def test_a_snapshot_outlives_its_examples(pipeline: Pipeline) -> None:
    day, snapshot = "store:small/examples/2026-01-01-a", "store:small/statistics/2026-01-01-b"
    holdings = {day: holding(day, 41), snapshot: holding(snapshot, 29, [day])}

    outgoing, _ = plan_artifacts(pipeline, holdings, {}, {}, NOW)

    assert [one.name for one in outgoing] == [day]
    assert "landed days are kept for 40 days (housekeeping.examples_days)" in outgoing[0].reason


def test_a_kind_that_housekeeping_does_not_know_stays_and_is_named(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    letter = "store:small/letter/2026-01-01-a"

    outgoing, kept = plan_artifacts(pipeline, {letter: holding(letter, 999)}, {}, {}, NOW)

    assert outgoing == ()
    assert kept == {"housekeeping knows no limit for letter": 1}


def test_what_the_ledger_names_stays_and_what_it_was_made_from_goes(pipeline: Pipeline) -> None:
    model, blessing = "store:small/model/2026-01-01-a", "store:small/blessing/2026-01-01-b"
    holdings = {model: holding(model, 999), blessing: holding(blessing, 999, [model])}

    outgoing, kept = plan_artifacts(
        pipeline, holdings, {}, {blessing: "named", "store:small/gone": "named"}, NOW
    )

    assert [one.name for one in outgoing] == [model]
    assert kept == {"named": 1}
