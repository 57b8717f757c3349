"""Which answer an event came of.

Pure. An event belongs to the last answer with the same key that was given before it, and not too long
before; of several events of one answer the first counts. What follows is the same whatever pieces the
rows come in, and takes n log n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
NONE = -1


@dataclass(frozen=True, eq=False)
class Moments:
    """Rows, each with a key and a moment.

    Attributes:
        keys: int64 [rows], equal numbers for equal keys; `NONE` for a key that no answer has.
        times: int64 [rows], milliseconds since the epoch.
    """

    keys: Numbers
    times: Numbers


def number_keys(answers: pa.Table, events: pa.Table, names: Sequence[str]) -> tuple[Numbers, Numbers]:
    """Equal numbers for equal keys in two tables with the same text columns.

    Returns:
        For the answers and for the events; `NONE` for an event whose key is missing or no answer's.
    """
    of_answers, of_events = np.zeros(len(answers), np.int64), np.zeros(len(events), np.int64)
    for name in names:
        values = pc.unique(answers[name])
        places = [_places(table[name], values) for table in (answers, events)]
        joint = of_answers * len(values) + places[0]
        known = (of_events != NONE) & (places[1] != NONE)
        wanted = np.where(known, of_events * len(values) + places[1], NONE)
        distinct, of_answers = np.unique(joint, return_inverse=True)
        of_events = _look_up(wanted, distinct)
    return of_answers, of_events


def match(events: Moments, answers: Moments, reach: int, clocks: int) -> Numbers:
    """For each event the position of its answer, or `NONE`.

    Args:
        events: what happened.
        answers: what was answered; of two at the same moment the later row is the last.
        reach: how many milliseconds an answer may lie before its event.
        clocks: how many it may seem to lie after it, because two clocks differ.
    """
    if not len(answers.keys):
        return np.full(len(events.keys), NONE, np.int64)
    order = np.lexsort((answers.times, answers.keys))
    keys, times = answers.keys[order], answers.times[order]
    origin, span = times.min(), times.max() - times.min() + 2
    latest = np.clip(events.times + clocks - origin, -1, span - 2)
    last = np.searchsorted(keys * span + (times - origin), events.keys * span + latest, side="right") - 1
    found = np.maximum(last, 0)
    belongs = (last >= 0) & (events.keys != NONE) & (keys[found] == events.keys)
    belongs &= times[found] >= events.times - reach
    return np.where(belongs, order[found], NONE)


def first_of_each(answers: Numbers) -> NDArray[np.bool_]:
    """Which events, in the order of their time, are the first of the answer that they belong to."""
    is_first = np.zeros(len(answers), np.bool_)
    is_first[np.unique(answers, return_index=True)[1]] = True
    is_first[answers == NONE] = False
    return is_first


def _places(column: pa.ChunkedArray, values: pa.Array) -> Numbers:
    found = pc.fill_null(pc.index_in(column, value_set=values, skip_nulls=True), NONE)
    return np.asarray(found, np.int64)


def _look_up(wanted: Numbers, distinct: Numbers) -> Numbers:
    if not len(distinct):
        return np.full(len(wanted), NONE, np.int64)
    place = np.minimum(np.searchsorted(distinct, wanted), len(distinct) - 1)
    return np.where((wanted != NONE) & (distinct[place] == wanted), place, NONE)
