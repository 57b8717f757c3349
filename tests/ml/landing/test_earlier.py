from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta

import pytest

from ml.artifact import Artifact, Window
from ml.day import Day
from ml.decisions import Decision
from ml.identities import identify_examples, identify_offsets
from ml.landing import EarlierDays, find_earlier
from ml.landing.ranges import OFFSETS_FILE, OffsetManifest, OffsetRange
from ml.manifest import SCHEME
from ml.pipelines import load_pipeline
from ml.removal import Removal, note_removal
from ml.store import Draft, Store


@pytest.fixture
def day(store: Store, window: Window) -> Day:
    return Day(load_pipeline("clicks"), window, store)


def land(day: Day, end: int, refresh: str = "") -> Artifact:
    """Offsets up to an end, and examples of them; the offsets are returned."""
    decision = Decision(refresh=refresh)
    ranges = (OffsetRange(partition=0, start=0, end=end, low=0, high=end, first_timestamp=None),)
    manifest = OffsetManifest(day.pipeline.landing.topic, ranges, decision)

    def write(draft: Draft) -> None:
        draft.write_json(manifest.as_json(day.pipeline.landing, day.window), OFFSETS_FILE)

    offsets = day.store.produce(identify_offsets(day, decision), write)
    day.store.produce(identify_examples(day, offsets), lambda draft: draft.write_json({}))
    return offsets


def damage(store: Store, offsets: Artifact) -> None:
    (store.open(offsets) / OFFSETS_FILE).write_text("{}")


def take_away(store: Store, offsets: Artifact) -> None:
    """As housekeeping does while the night looks the day up."""
    note_removal(store.root, offsets["uri"], Removal("2026-06-10T14:00:00+00:00", "out of date"))
    shutil.rmtree(store.root / offsets["uri"].removeprefix(SCHEME))


def decide_illegibly(store: Store, offsets: Artifact) -> None:
    path = store.root / "clicks" / "landing" / "decisions" / "2026-03-10.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")


@pytest.mark.parametrize(
    ("mishap", "said"),
    [
        (damage, "measured/offsets.json is {'sha256'"),
        (take_away, "was removed by housekeeping on 2026-06-10: out of date"),
        (decide_illegibly, "does not say what was decided about the landing of 2026-03-10"),
    ],
)
def test_a_day_that_cannot_be_read_is_not_counted_and_stops_no_other(day: Day, mishap, said: str) -> None:
    next_day = replace(day, window=Window(day.window.end, day.window.end + timedelta(days=1)))
    mishap(day.store, land(day, end=60))
    land(next_day, end=100)

    earlier = EarlierDays.of(day.pipeline, [find_earlier(day), find_earlier(next_day)])

    assert list(earlier.ends) == [None, {0: 100}]
    [(name, reason)] = earlier.uncounted.items()
    assert name == "2026-03-10"
    assert reason.startswith("its landings cannot be read: ")
    assert said in reason


def test_the_landing_that_a_night_would_use_holds_for_the_day(day: Day) -> None:
    land(day, end=60)
    land(day, end=90, refresh="late batch")

    found = find_earlier(day)

    assert found.landed is not None
    assert found.counted is not None
    assert (found.landed.record_count, found.counted.record_count) == (60, 60)
