from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ml.evaluation.realised.join import NONE, Moments, first_of_each, match, number_keys

REACH, CLOCKS = 20, 3
Row = tuple[tuple[str | None, str | None], int]

texts = st.sampled_from(["a", "b", "ab", ""])
answers = st.lists(st.tuples(st.tuples(texts, texts), st.integers(0, 60)), max_size=30)
events = st.lists(
    st.tuples(st.tuples(texts | st.none(), texts | st.none()), st.integers(-10, 90)), max_size=30
)


def table(rows: Sequence[Row]) -> pa.Table:
    keys = [[key[place] for key, _ in rows] for place in (0, 1)]
    return pa.table({"first": pa.array(keys[0], pa.string()), "second": pa.array(keys[1], pa.string())})


def joined(answers: Sequence[Row], events: Sequence[Row]) -> tuple[list[int], list[bool]]:
    numbers = number_keys(table(answers), table(events), ["first", "second"])
    sides = [
        Moments(keys, np.array([time for _, time in rows], np.int64))
        for keys, rows in zip(numbers, (answers, events), strict=True)
    ]
    found = match(sides[1], sides[0], REACH, CLOCKS)
    return found.tolist(), first_of_each(found).tolist()


def joined_by_dict(answers: Sequence[Row], events: Sequence[Row]) -> tuple[list[int], list[bool]]:
    """The same, said as plainly as can be."""
    by_key: dict[object, list[tuple[int, int]]] = {}
    for position, (key, time) in enumerate(answers):
        by_key.setdefault(key, []).append((time, position))
    found, first, taken = [], [], set()
    for key, time in events:
        before = [one for one in by_key.get(key, []) if time - REACH <= one[0] <= time + CLOCKS]
        position = max(before)[1] if before else NONE
        found.append(position)
        first.append(position != NONE and position not in taken)
        taken.add(position)
    return found, first


@given(answers, events)
def test_the_join_is_that_of_a_dict(answers: list[Row], events: list[Row]) -> None:
    assert joined(answers, events) == joined_by_dict(answers, events)


def test_an_event_belongs_to_the_last_answer_before_it_and_counts_once() -> None:
    key = ("user-1", "item-1")
    answers = [(key, 10), (key, 30), (("user-1", "item-2"), 31)]
    events: list[Row] = [(key, 9), (key, 33), (key, 34), (key, 51), (("user-9", "item-1"), 34)]

    assert joined(answers, events) == ([0, 1, 1, NONE, NONE], [True, True, False, False, False])
