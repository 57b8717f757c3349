from __future__ import annotations

import numpy as np
import orjson
import pytest

from ml.artifact import Window
from ml.landing.block import Block
from ml.landing.transactions import what_matters
from ml.pipelines import load_pipeline

HOUR = 3_600_000
WINDOW = Window.parse("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")


def hidden(produced: float, event: float | None) -> Block:
    """Another day's record and one of these hours after the window's start, hidden by an open transaction."""
    hours = [(produced + 1, 60.0), (produced, event)]
    times = [int(WINDOW.start_ms + hour * HOUR) for hour, _ in hours]
    values = [b"{" if hour is None else orjson.dumps({"event_time": int(WINDOW.start_ms + hour * HOUR)})
              for _, hour in hours]  # fmt: skip
    return Block(0, np.arange(2), np.array(times), values)


@pytest.mark.parametrize(
    ("block", "on_the_night", "refreshed"),
    [
        (hidden(produced=23, event=23), True, True),
        (hidden(produced=50, event=23), False, True),
        (hidden(produced=50, event=0), False, True),
        (hidden(produced=50, event=24), False, False),
        (hidden(produced=50, event=None), False, False),
    ],
    ids=["of the day", "late", "late by its first moment", "of the next day", "no JSON"],
)
def test_late_events_are_waited_for_only_where_they_are_wanted(
    block: Block, on_the_night: bool, refreshed: bool
) -> None:
    pipeline = load_pipeline("clicks")

    assert what_matters(pipeline, WINDOW, late=False)(block) is on_the_night
    assert what_matters(pipeline, WINDOW, late=True)(block) is refreshed
