from __future__ import annotations

import pytest

from ml.artifact import Artifact, Window
from ml.errors import Misconfigured
from ml.pipelines import load_pipeline
from ml.release.ledger import MAX_REASON, Ledger, Move, check_reason, current_user
from ml.release.versions import Version
from ml.store import Store


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(load_pipeline("clicks"), store)


@pytest.fixture
def move(window: Window) -> Move:
    version = Version(20260310001, Artifact(kind="model", uri="store:x", digest="d"), window)
    return Move("push", "stable", version, 20260309001, "retrain_clicks/monday", "better", "PASS", "store:b")


def test_an_empty_ledger_knows_of_nothing(ledger: Ledger):
    assert (ledger.entries(), ledger.on_the_way, ledger.last_served) == ([], None, None)


def test_a_move_is_on_the_way_until_it_is_done(ledger: Ledger, move: Move):
    ledger.append("moving", move)
    assert ledger.on_the_way is not None
    assert ledger.on_the_way["to"] == move.version.number
    assert ledger.last_served is None

    ledger.record(move)
    assert ledger.on_the_way is None
    assert ledger.last_served == move.version.number


def test_a_lost_move_is_finished_with_what_it_had_said(ledger: Ledger, move: Move):
    ledger.append("moving", move)
    lost = ledger.on_the_way
    assert lost is not None

    ledger.finish(lost)

    assert ledger.on_the_way is None
    assert [entry["event"] for entry in ledger.entries()] == ["moving", "moved"]
    assert move.as_json().items() <= ledger.entries()[-1].items()


def test_a_move_whose_alias_stayed_behind_is_served_and_yet_to_settle(ledger: Ledger, move: Move):
    ledger.append("moving", move)
    ledger.record(move, aliased=False)
    behind = ledger.on_the_way
    assert behind is not None
    assert ledger.last_served == move.version.number

    ledger.finish(behind)
    assert ledger.on_the_way is None
    assert [entry["event"] for entry in ledger.entries()] == ["moving", "moved", "settled"]


def test_a_retry_adds_no_line(ledger: Ledger, move: Move):
    for _ in range(3):
        ledger.append("moving", move)

    assert [entry["event"] for entry in ledger.entries()] == ["moving"]


def test_the_moves_of_another_label_are_another_history(ledger: Ledger, move: Move, store: Store):
    ledger.append("moving", move)
    canary = Ledger(load_pipeline("clicks"), store, label="canary")

    assert canary.on_the_way is None
    assert canary.entries() == ledger.entries()


def test_a_line_says_who_moved_what_and_why(ledger: Ledger, move: Move, window: Window):
    ledger.append("moving", move)

    (entry,) = ledger.entries()
    del entry["time"]
    assert entry == {
        "line": 1,
        "previous": "0" * 64,
        "event": "moving",
        "action": "push",
        "label": "stable",
        "from": 20260309001,
        "to": 20260310001,
        "model": "d",
        "watermark": window.end.isoformat(),
        "who": "retrain_clicks/monday",
        "reason": "better",
        "verdict": "PASS",
        "evidence": "store:b",
    }


@pytest.mark.parametrize("reason", ["", "  \n", "x" * (MAX_REASON + 1)])
def test_a_reason_must_be_given_and_be_short(reason: str):
    with pytest.raises(Misconfigured, match="expected 1 to 2000"):
        check_reason(reason)


def test_the_user_has_a_name():
    assert current_user()
