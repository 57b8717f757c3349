from __future__ import annotations

from typing import Any

import pytest

from ml.artifact import Window
from ml.release.rollout.past_trials import trials_within

DAY = Window.parse("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")


def ledger(*moves: str) -> list[dict[str, Any]]:
    """Lines as ``HH:MM event action label to``, on the day; ``-1d`` before the time is the day before."""
    lines = []
    for move in moves:
        time, event, action, label, to = move.split()
        day = "2026-03-09" if time.startswith("-") else "2026-03-10"
        moment = f"{day}T{time.removeprefix('-')}:00.000+00:00"
        lines.append({"time": moment, "event": event, "action": action, "label": label, "to": int(to)})
    return lines


def times(lines: list[dict[str, Any]]) -> list[tuple[int, int, str, str]]:
    found = trials_within(lines, ("stable", "canary"), DAY)
    return [(one["version"], one["stable"], one["since"][5:16], one["until"][5:16]) for one in found]


SERVED = ["-02:00 moving push stable 1", "-02:01 moved push stable 1"]
TRIED = [*SERVED, "03:00 moving push canary 2", "03:01 moved push canary 2"]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([], [(2, 1, "03-10T03:01", "03-11T00:00")]),
        (["05:00 noted withdraw canary 2"], [(2, 1, "03-10T03:01", "03-10T05:00")]),
        (
            ["05:00 moving promote stable 2", "05:01 moved promote stable 2"],
            [(2, 1, "03-10T03:01", "03-10T05:00")],
        ),
        (
            ["05:00 moving push canary 3", "05:01 moved push canary 3", "06:00 noted withdraw canary 3"],
            [(2, 1, "03-10T03:01", "03-10T05:00"), (3, 1, "03-10T05:01", "03-10T06:00")],
        ),
        (["05:00 noted reassess canary 2"], [(2, 1, "03-10T03:01", "03-11T00:00")]),
    ],
    ids=["goes on", "is withdrawn", "is promoted", "makes room for another", "is judged meanwhile"],
)
def test_a_trial_lasts_from_its_labels_move_until_it(ends, expected):
    assert times(ledger(*TRIED, *ends)) == expected


def test_a_trial_during_which_stable_moves_is_two():
    lines = ledger(*TRIED, "05:00 moving rollback stable 0", "05:02 moved rollback stable 0")

    assert times(lines) == [(2, 1, "03-10T03:01", "03-10T05:00"), (2, 0, "03-10T05:02", "03-11T00:00")]


def test_a_trial_that_began_the_day_before_is_cut_off_and_one_that_ended_then_is_none():
    before = ["-03:00 moving push canary 2", "-03:01 moved push canary 2"]

    assert times(ledger(*SERVED, *before)) == [(2, 1, "03-10T00:00", "03-11T00:00")]
    assert times(ledger(*SERVED, *before, "-05:00 noted withdraw canary 2")) == []


def test_the_first_version_of_all_and_what_comes_after_the_day_are_no_trial():
    assert times(ledger(*SERVED)) == []
    later = [{**line, "time": line["time"].replace("03-10", "03-11")} for line in ledger(*TRIED)[2:]]
    assert times([*ledger(*SERVED), *later]) == []
