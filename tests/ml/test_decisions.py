from __future__ import annotations

import json

import pytest

from ml.artifact import Window
from ml.day import Day
from ml.decisions import Decision, Decisions, Kind, deciding
from ml.errors import StoreCorrupted
from ml.identities import identify_offsets
from ml.pipelines import load_pipeline
from ml.store import Store


@pytest.fixture
def day(store: Store, window: Window) -> Day:
    return Day(load_pipeline("clicks"), window, store)


def decide(day: Day, kind: Kind, reason: str) -> None:
    with deciding(day) as decisions:
        decisions.adding(kind, reason).save()


def test_without_a_decision_a_day_is_identified_as_if_there_were_none(day: Day) -> None:
    assert identify_offsets(day).config == day.landing_settings()


def test_a_decision_is_part_of_what_the_offsets_are_made_of(day: Day) -> None:
    undecided = identify_offsets(day)

    decide(day, "accept_gap", "broker outage")

    assert identify_offsets(day).config["decision"] == {"accept_gap": "broker outage"}
    assert identify_offsets(day).uri != undecided.uri
    assert identify_offsets(day, Decision()).uri == undecided.uri


def test_a_decision_is_about_its_own_day_only(day: Day) -> None:
    decide(day, "refresh", "late batch")

    other = Day(
        day.pipeline, Window.parse("2026-03-11T00:00:00+00:00", "2026-03-12T00:00:00+00:00"), day.store
    )
    assert Decisions.of(other).standing == Decision()


def test_an_accepted_gap_adds_to_a_refreshment_and_a_refreshment_looks_anew(day: Day) -> None:
    decide(day, "refresh", "late batch")
    decide(day, "accept_gap", "broker outage")
    assert Decisions.of(day).standing == Decision(refresh="late batch", accept_gap="broker outage")

    decide(day, "refresh", "second batch")
    assert Decisions.of(day).standing == Decision(refresh="second batch")


@pytest.mark.parametrize("reason", ["late batch", ""])
def test_a_known_reason_decides_nothing_even_after_others(day: Day, reason: str) -> None:
    decide(day, "refresh", "late batch")
    decide(day, "refresh", "second batch")
    before = Decisions.of(day)

    decide(day, "refresh", reason)

    assert Decisions.of(day) == before
    assert before.standing == Decision(refresh="second batch")


def test_every_decision_stays_on_record_with_its_time(day: Day) -> None:
    decide(day, "refresh", "late batch")
    decide(day, "accept_gap", "größerer Ausfall")

    path = day.store.root / "clicks" / "landing" / "decisions" / "2026-03-10.json"
    entries = json.loads(path.read_text())
    assert [(entry["kind"], entry["reason"]) for entry in entries] == [
        ("refresh", "late batch"),
        ("accept_gap", "größerer Ausfall"),
    ]
    assert all(entry["at"].endswith("+00:00") for entry in entries)


ENTRY = {"kind": "refresh", "reason": "late batch", "at": "2026-03-12T09:00:00+00:00"}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "Invalid JSON"),
        ('[{"kind": "refresh", "reason": "la', "Invalid JSON"),
        ("{}", "valid array"),
        ('["refresh"]', "0 "),
        (json.dumps([{**ENTRY, "kind": "refersh"}]), "0.kind Input should be 'refresh' or 'accept_gap'"),
        (json.dumps([ENTRY, {**ENTRY, "reason": ""}]), "1.reason "),
        (json.dumps([{"kind": "refresh", "reason": "late batch"}]), "0.at "),
        (json.dumps([{**ENTRY, "by": "me"}]), "0.by "),
    ],
)
def test_a_damaged_file_is_never_taken_for_no_decision(day: Day, content: str, fault: str) -> None:
    path = day.store.root / "clicks" / "landing" / "decisions" / "2026-03-10.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)

    with pytest.raises(StoreCorrupted) as told:
        Decisions.of(day)

    assert str(told.value).startswith(f"{path} does not say what was decided about the landing of 2026-03-10")
    assert fault in str(told.value)
    assert "restore it from a copy" in str(told.value)
