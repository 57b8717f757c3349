from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.release.history import (
    canary_on_trial,
    golden_version,
    passages,
    realised_words,
    rolled_back,
    served_at,
    version_before,
)

ONE, TWO, THREE = 20261101001, 20261102001, 20261103001


def at(minute: int) -> str:
    return datetime(2026, 11, 21, 2, minute, tzinfo=timezone.utc).isoformat()


def line(event: str, minute: int, before: int | None, to: int, **more: Any) -> dict[str, Any]:
    said = {"event": event, "time": at(minute), "from": before, "to": to, "action": "push", "label": "stable"}
    return {**said, "who": "ada", "reason": "because", "alias": True, **more}


def move(minute: int, before: int | None, to: int, **more: Any) -> list[dict[str, Any]]:
    return [line("moving", minute, before, to, **more), line("moved", minute + 1, before, to, **more)]


PUSHED = [*move(0, None, ONE), *move(10, ONE, TWO), *move(20, TWO, THREE)]
BACK = move(30, THREE, TWO, action="rollback")


def told(lines: list[dict[str, Any]], minute: int) -> tuple[int | None, int | None]:
    standing = served_at(lines, "stable", datetime.fromisoformat(at(minute)))
    return (
        standing.passage and standing.passage.to,
        standing.on_the_way and standing.on_the_way.to,
    )


def test_the_ledger_tells_what_served_when():
    assert told([], 5) == (None, None)
    assert told(PUSHED, 5) == (ONE, None)
    assert told(PUSHED, 11) == (TWO, None)
    assert told([*PUSHED, *BACK], 59) == (TWO, None)


def test_a_moment_within_a_move_is_told_as_such():
    assert told(PUSHED, 10) == (ONE, TWO)


def test_a_move_that_was_lost_before_the_label_moved_never_served():
    lines = [*move(0, None, ONE), line("moving", 10, ONE, TWO), *move(20, ONE, THREE)]

    assert told(lines, 15) == (ONE, None)
    assert [passage.lost for passage in passages(lines, "stable")] == [False, True, False]


def test_a_move_that_was_lost_after_the_label_moved_served():
    lines = [*move(0, None, ONE), line("moving", 10, ONE, TWO), *move(20, TWO, THREE)]

    assert told(lines, 15) == (ONE, TWO)
    assert told(lines, 20) == (TWO, THREE)


def test_a_move_that_was_announced_twice_is_one_move():
    again = line("moving", 12, ONE, TWO, who="another")
    lines = [*move(0, None, ONE), line("moving", 10, ONE, TWO), again, line("moved", 13, ONE, TWO)]

    assert [passage.to for passage in passages(lines, "stable")] == [ONE, TWO]


def test_another_label_is_another_history():
    lines = [*PUSHED, *move(40, None, ONE, label="golden", action="golden")]

    assert told(lines, 59) == (THREE, None)
    assert golden_version(lines) == ONE
    assert golden_version(PUSHED) is None


def test_what_was_rolled_back_is_remembered_until_it_is_readmitted():
    lines = [*PUSHED, *BACK]
    assert list(rolled_back(lines)) == [THREE]

    lines.append(line("noted", 40, None, THREE, action="readmit"))
    assert rolled_back(lines) == {}


def test_a_canary_is_on_trial_from_its_move_to_its_end():
    trial = move(40, None, THREE, label="canary")
    promoted = move(50, TWO, THREE, action="promote")
    withdrawn = [line("noted", 50, THREE, THREE, action="withdraw", label="canary")]

    def on_trial(*lines: dict[str, Any]) -> int | None:
        found = canary_on_trial(lines, "canary")
        return found["to"] if found else None

    assert on_trial(*PUSHED) is None
    assert on_trial(trial[0]) is None
    assert on_trial(*trial, promoted[0]) == THREE
    assert on_trial(*trial, *promoted) is on_trial(*trial, *withdrawn) is None
    assert on_trial(*trial, *move(50, THREE, TWO, label="canary")) == TWO
    assert on_trial(*trial, *withdrawn, *move(55, None, TWO, label="canary")) == TWO


def test_a_withdrawn_canary_is_remembered_until_it_is_readmitted():
    withdrawn = line("noted", 50, THREE, THREE, action="withdraw", label="canary")
    readmitted = line("noted", 55, None, THREE, action="readmit")

    assert rolled_back([*PUSHED, withdrawn]) == {THREE: withdrawn}
    assert rolled_back([*PUSHED, withdrawn, readmitted]) == {}


def test_going_forward_again_by_number_readmits_and_condemns_nothing():
    lines = [*PUSHED, *BACK, *move(40, TWO, THREE, action="rollback")]

    assert rolled_back(lines) == {}


def test_an_announced_roll_back_condemns_nothing_yet():
    assert rolled_back([*PUSHED, BACK[0]]) == {}


def test_previous_leads_further_back_each_time_and_never_to_what_was_rolled_back():
    assert version_before(PUSHED, "stable", THREE) == TWO
    assert version_before([*PUSHED, *BACK], "stable", TWO) == ONE
    assert version_before([*PUSHED, *BACK, *move(40, TWO, ONE, action="rollback")], "stable", ONE) is None


def test_after_a_newer_push_previous_is_what_served_before_it():
    lines = [*PUSHED, *BACK, *move(40, TWO, 20261104001)]

    assert version_before(lines, "stable", 20261104001) == TWO


def word(said: str) -> dict[str, Any]:
    """One on the same version, such as ``5: DOUBTED``: by the clicks of that day."""
    day, verdict = said.split(": ")
    evidence = f"store:clicks/realised/2026-11-{int(day):02d}-0a1b"
    return line("noted", 0, TWO, TWO, action="reassess", label="canary", verdict=verdict, evidence=evidence)


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        # A day that could not tell takes nothing back, in whatever order the days are judged.
        (["5: DOUBTED", "6: INCONCLUSIVE"], "5: DOUBTED"),
        (["6: INCONCLUSIVE", "5: DOUBTED"], "5: DOUBTED"),
        (["5: CONFIRMED", "6: INCONCLUSIVE"], "5: CONFIRMED"),
        (["5: INCONCLUSIVE", "6: INCONCLUSIVE"], "6: INCONCLUSIVE"),
        # Else the later day's clicks count, and an earlier day that is judged late changes nothing.
        (["5: DOUBTED", "6: CONFIRMED"], "6: CONFIRMED"),
        (["6: CONFIRMED", "5: DOUBTED"], "6: CONFIRMED"),
        (["5: CONFIRMED", "6: DOUBTED", "7: INCONCLUSIVE"], "6: DOUBTED"),
        # Stable has moved in mid-trial, so the day has two.
        (["5: DOUBTED", "5: INCONCLUSIVE"], "5: DOUBTED"),
        (["5: DOUBTED", "5: CONFIRMED"], "5: DOUBTED"),
        (["5: CONFIRMED", "5: DOUBTED"], "5: DOUBTED"),
        (["4: DOUBTED", "5: INCONCLUSIVE", "5: CONFIRMED"], "5: CONFIRMED"),
    ],
)
def test_the_word_that_counts_is_the_latest_that_tells_and_of_one_day_the_worst(said: list[str], counts: str):
    assert realised_words(map(word, said)) == {TWO: word(counts)}


def test_a_day_that_is_judged_anew_is_taken_at_its_new_word():
    doubted, anew = word("5: DOUBTED"), word("5: CONFIRMED")
    anew["evidence"] += "2c"

    assert realised_words([doubted, anew]) == {TWO: anew}


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=20))
def test_previous_is_always_older_and_never_condemned(steps: list[tuple[bool, int]]):
    lines: list[dict[str, Any]] = []
    served: int | None = None
    for minute, (back, number) in enumerate(steps):
        version = 20261100001 + number * 1000
        lines += move(minute * 2, served, version, action="rollback" if back else "push")
        served = version

    previous = version_before(lines, "stable", served)
    assert previous is None or (served is not None and previous < served)
    assert previous not in rolled_back(lines)
