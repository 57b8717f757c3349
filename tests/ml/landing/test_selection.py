from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.artifact import Window
from ml.landing.block import Block
from ml.landing.parsing import Parser
from ml.landing.ranges import MINUTE_MS
from ml.landing.selection import Landed, Selection
from ml.landing.tally import OTHER_FIELDS, UNKNOWN_FIELDS_NAMED, Span, Tally

WINDOW = Window.parse("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")
START, END = WINDOW.start_ms, WINDOW.end_ms
SETTLED = END + 120 * MINUTE_MS
PRODUCED = START - 60 * MINUTE_MS


@pytest.fixture
def selection() -> Selection:
    return make_selection()


def make_selection() -> Selection:
    return Selection(Parser({"t": "int", "name": "string"}, "t"), "t", START, END, PRODUCED, SETTLED)


def block(*records: tuple[bytes | None, int], first: int = 100) -> Block:
    """Records as (value, timestamp), with every second offset."""
    offsets = first + 2 * np.arange(len(records))
    timestamps = np.array([timestamp for _, timestamp in records], np.int64)
    return Block(3, offsets, timestamps, [value for value, _ in records])


def event(time: int, **more: Any) -> bytes:
    return json.dumps({"t": time, **more}).encode()


def test_the_window_is_half_open(selection: Selection) -> None:
    landed = selection.land(block(*[(event(t), START) for t in (START - 1, START, END - 1, END)]))

    assert landed.examples["t"].to_pylist() == [START, END - 1]
    assert landed.examples["_offset"].to_pylist() == [102, 104]
    assert landed.examples["_partition"].to_pylist() == [3, 3]
    assert landed.tally.outside == 2


def test_an_event_counts_by_its_own_time_and_not_by_its_arrival(selection: Selection) -> None:
    landed = selection.land(block((event(START), SETTLED - 1), (event(END), START)))

    assert landed.examples["t"].to_pylist() == [START]


def test_an_event_that_arrives_after_settling_is_late_and_not_added(selection: Selection) -> None:
    landed = selection.land(block((event(START), SETTLED), (event(START + 1), SETTLED - 1)))

    assert landed.examples["t"].to_pylist() == [START + 1]
    assert landed.tally.late == 1


def test_an_event_that_was_produced_long_before_it_happened_is_outside(selection: Selection) -> None:
    landed = selection.land(block((event(START), PRODUCED - 1), (event(START + 1), PRODUCED)))

    assert landed.examples["t"].to_pylist() == [START + 1]
    assert landed.tally.outside == 1


def test_a_reject_belongs_to_the_window_it_was_produced_in(selection: Selection) -> None:
    landed = selection.land(block(*[(b"oops", t) for t in (START - 1, START, END - 1, END)]))

    assert landed.rejects["timestamp"].to_pylist() == [START, END - 1]
    assert landed.tally.rejected == {"not JSON": 2}
    assert landed.tally.outside == 2


def test_a_reject_keeps_its_place_its_reason_and_its_bytes(selection: Selection) -> None:
    landed = selection.land(block((event(START), START), (b"\xff{", START + 5), (None, START + 6)))

    assert landed.rejects.to_pylist() == [
        {"partition": 3, "offset": 102, "timestamp": START + 5, "reason": "not JSON", "value": b"\xff{"},
        {"partition": 3, "offset": 104, "timestamp": START + 6, "reason": "tombstone", "value": None},
    ]
    assert landed.tally.reject_examples["not JSON"] == {"partition": 3, "offset": 102}


def test_unknown_fields_are_counted_for_accepted_records_only(selection: Selection) -> None:
    landed = selection.land(
        block((event(START, x=1), START), (event(END, x=1), START), (event(START, x=2, y=1), START))
    )

    assert landed.tally.unknown_fields == {"x": 2, "y": 1}


def test_fields_made_up_of_data_do_not_fill_the_memory(selection: Selection) -> None:
    total = Tally()
    for first in (0, 150):
        names = [f"experiment_{number}" for number in range(first, first + 150)]
        total.add(selection.land(block(*[(event(START, **{name: 1}), START) for name in names])).tally)

    assert len(total.unknown_fields) == UNKNOWN_FIELDS_NAMED + 1
    assert total.unknown_fields[OTHER_FIELDS] == 300 - UNKNOWN_FIELDS_NAMED


def test_event_times_of_all_that_could_be_read_are_noted(selection: Selection) -> None:
    tally = selection.land(block((event(5), START), (event(START + 7), START), (b"", START))).tally

    assert tally.scanned_events == Span(5, START + 7)
    assert tally.events == Span(START + 7, START + 7)


moments = st.sampled_from([PRODUCED - 1, PRODUCED, START, END - 1, END, SETTLED - 1, SETTLED])
contents = moments.map(event) | st.sampled_from([b"oops", b"", None, b"[]", b'{"name":"no time"}'])
logs = st.lists(st.tuples(contents | moments.map(lambda t: event(t, x=1)), moments), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(logs, st.data())
def test_it_does_not_matter_how_the_network_cuts_the_records(
    log: list[tuple[bytes | None, int]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(log)))
    whole = make_selection().land(block(*log))
    parts = [
        make_selection().land(block(*log[:cut])),
        make_selection().land(block(*log[cut:], first=100 + 2 * cut)),
    ]

    assert pa.concat_tables(part.examples for part in parts).to_pylist() == whole.examples.to_pylist()
    assert pa.concat_tables(part.rejects for part in parts).to_pylist() == whole.rejects.to_pylist()
    assert total_of(parts) == total_of([whole])


@settings(max_examples=150, deadline=None)
@given(logs)
def test_every_scanned_record_is_counted_once(log: list[tuple[bytes | None, int]]) -> None:
    landed = make_selection().land(block(*log))
    tally = landed.tally

    assert tally.scanned == len(log)
    assert tally.accepted + tally.rejected.total() + tally.outside + tally.late == len(log)
    assert tally.outside >= 0
    assert (tally.accepted, tally.rejected.total()) == (len(landed.examples), len(landed.rejects))


def total_of(parts: list[Landed]) -> Tally:
    total = Tally()
    for part in parts:
        total.add(part.tally)
    return total
