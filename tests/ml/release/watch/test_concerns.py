"""A person is told once of what a look every few minutes finds again and again."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from ml.release.watch.concerns import Concern, Notebook, Record, tell_once

NOW = datetime(2026, 11, 21, 2, tzinfo=timezone.utc)
DOWN = Concern("unwatched", "Prometheus is down", over="Prometheus is back")
GONE_BACK = Concern("rolled back", "it went back", at_once=True)


def news_of(*looks: list[Concern]) -> list[list[str]]:
    told, record = [], None
    for number, found in enumerate(looks):
        news, record = tell_once(found, record, NOW + timedelta(minutes=5 * number))
        told.append(news)
        record = {**record, "untold": []}
    return told


def test_what_passes_by_itself_within_a_look_is_not_told():
    assert news_of([DOWN], [], [DOWN], []) == [[], [], [], []]


def test_what_stays_is_told_once_and_once_more_when_it_is_over():
    assert news_of([DOWN], [DOWN], [DOWN], [], []) == [
        [],
        ["Prometheus is down"],
        [],
        ["Prometheus is back"],
        [],
    ]


def test_what_becomes_another_of_its_kind_is_told_and_is_not_over():
    torn = Concern("torn", "the ledger is torn", over="they agree")
    silent = Concern("silent", "MLflow is silent", over="they agree")

    assert news_of([silent], [silent], [torn], [torn], [], []) == [
        [],
        ["MLflow is silent"],
        [],
        ["the ledger is torn"],
        ["they agree"],
        [],
    ]
    assert news_of([silent], [silent], [torn], [], [])[2:] == [[], ["they agree"], []]


def test_nothing_is_called_over_by_a_look_that_could_not_see_it():
    differs = Concern("difference", "they differ", over="they agree")
    blind = Concern("ledger", "the ledger is damaged", at_once=True, hides_others=True)

    assert news_of([differs], [differs], [blind], [differs], [])[1:] == [
        ["they differ"],
        ["the ledger is damaged"],
        [],
        ["they agree"],
    ]


def test_what_a_person_must_know_at_once_does_not_wait():
    assert news_of([GONE_BACK], [GONE_BACK], []) == [["it went back"], [], []]


@given(st.lists(st.booleans(), max_size=40), st.booleans())
def test_each_spell_is_told_at_most_once_and_every_lasting_one_is(spells: list[bool], at_once: bool):
    concern = Concern("key", "text", at_once, "over")

    told = news_of(*([concern] if here else [] for here in spells))

    for here, spell in groupby(zip(spells, told, strict=True), key=lambda pair: pair[0]):
        looks = [lines for _, lines in spell]
        news = [line for lines in looks for line in lines]
        is_due = at_once or len(looks) > 1
        assert (news == ["text"] * is_due) if here else news in ([], ["over"])


def test_what_was_told_is_remembered_on_disk(pipeline, store):
    notebook = Notebook(pipeline, store)
    assert notebook.read() is None

    news, record = tell_once([GONE_BACK], None, NOW)
    notebook.write(record)
    kept: Record | None = notebook.read()
    assert kept == record
    assert tell_once([GONE_BACK], kept, NOW)[0] == news

    notebook.mark_told(news)
    assert tell_once([GONE_BACK], notebook.read(), NOW)[0] == []
