from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.training.history import BINS, History, Tally, area_under_curve

SCORED = st.lists(st.tuples(st.booleans(), st.integers(0, BINS - 1)), min_size=1, max_size=60)


def add(history: History, steps: int, loss: float = 1.0) -> object:
    return history.add(steps, np.array([0, 1]), np.array([0.2, 0.8]), loss)


@pytest.fixture
def history() -> History:
    return History(steps_per_epoch=8, stretch=4)


def test_a_stretch_of_steps_is_one_point(history: History) -> None:
    assert add(history, 3) is None
    assert add(history, 3, loss=3.0) == {"step": 6, "examples": 4, "loss": 1.0, "auc": 1.0}


def test_an_epoch_is_summed_up_when_its_last_step_is_done(history: History) -> None:
    for _ in range(4):
        add(history, 4)

    assert [(epoch["epoch"], epoch["step"], epoch["examples"]) for epoch in history.curves.epochs] == [
        (1, 8, 4),
        (2, 16, 4),
    ]


@given(st.integers(1, 7))
def test_a_history_goes_on_from_where_it_was_saved(pause: int) -> None:
    undisturbed, first, second = (History(4, 3) for _ in range(3))
    for step in range(8):
        add(undisturbed, 1, loss=step)
    for step in range(pause):
        add(first, 1, loss=step)
    second.deserialize(first.serialize())
    for step in range(pause, 8):
        add(second, 1, loss=step)

    assert second.curves == undisturbed.curves
    assert second.step == 8


def test_one_class_alone_has_no_auc() -> None:
    tally = Tally()
    tally.add(np.array([1.0]), np.array([0.5]), 0.7)

    assert tally.summary() == {"examples": 1, "loss": 0.7, "auc": None}


@given(SCORED)
def test_the_area_is_the_share_of_rightly_ordered_pairs(rows: list[tuple[bool, int]]) -> None:
    counts = {label: np.zeros(BINS, np.int64) for label in (False, True)}
    for label, score in rows:
        counts[label][score] += 1
    pairs = [
        1.0 if good > bad else 0.5 if good == bad else 0.0
        for wanted, good in rows
        for unwanted, bad in rows
        if wanted and not unwanted
    ]

    area = area_under_curve(counts[False], counts[True])

    assert area == (pytest.approx(np.mean(pairs), abs=1e-6) if pairs else None)
