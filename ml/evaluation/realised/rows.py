"""The landed events of a day joined to the answers that they came of, an hour at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from ml.artifact import Window
from ml.config import Pipeline, Realised
from ml.errors import DataRejected, Misconfigured
from ml.evaluation.realised.join import NONE, Moments, Numbers, first_of_each, match, number_keys

HOUR_MS = 3_600_000
# The clocks of the router and of whoever produces the events may differ by so much.
CLOCKS_MS = 5_000
MINUTE_MS = 60_000
PREDICTIONS = "predictions.parquet"
JOINED = pa.schema(
    [("trial", pa.int16()), ("track", pa.string()), ("user", pa.string()), ("score", pa.float64())]
)


@dataclass
class Joined:
    """What the join came to.

    Attributes:
        rows: ``trial``, ``track``, ``user``, ``score`` and ``label`` (bool), one for each joined answer.
        events: how many events there were in the hours that were looked at.
        repeated: how many of them belonged to an answer that an earlier one belongs to.
        used: the numbers of the answers that were joined.
    """

    rows: pa.Table
    events: int = 0
    repeated: int = 0
    used: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class Day:
    """The two sides of the join.

    Attributes:
        pipeline: names the label and the event time.
        setting: names the key and how far apart the two may lie.
        window: the day whose events are joined.
        examples: directory of the day's landed examples.
        predictions: directory of the answers.
    """

    pipeline: Pipeline
    setting: Realised
    window: Window
    examples: Path
    predictions: Path

    @property
    def reach(self) -> int:
        """How many milliseconds an answer may lie before its event."""
        return round(self.setting.within_minutes * MINUTE_MS)

    def answers(self, since: int, until: int) -> pa.Table:
        """The answers that events of this time may have come of, in the order of their rows."""
        time = ds.field("time")
        wanted = (time >= since - self.reach) & (time <= until + CLOCKS_MS)
        return ds.dataset(self.predictions / PREDICTIONS).to_table(filter=wanted)

    def events(self, since: int, until: int) -> pa.Table:
        """The events of this time, in its order; those of one moment as they were landed.

        Raises:
            Misconfigured: if the examples lack a column.
        """
        dataset = ds.dataset(sorted(self.examples.glob("part-*.parquet")), format="parquet")
        time, label = self.pipeline.landing.event_time, self.pipeline.label
        needed = [time, label, *self.setting.key]
        if missing := [name for name in needed if name not in dataset.schema.names]:
            raise Misconfigured(
                f"the examples have no column {', '.join(missing)}, which serving.canary.realised joins by. "
                "They were landed with another schema: land the day again."
            )
        inside = (ds.field(time) >= since) & (ds.field(time) < until)
        found = dataset.to_table(columns=needed, filter=inside)
        found = found.take(np.argsort(found[time].to_numpy(), kind="stable"))
        keys = {f"key.{name}": found[name].cast(pa.string()) for name in self.setting.key}
        return pa.table({"time": found[time], "label": found[label], **keys})


def join(day: Day) -> Joined:
    """Join a day. Memory grows with an hour's rows, and with what was joined."""
    joined = Joined(JOINED.append(pa.field("label", pa.bool_())).empty_table())
    parts = [joined.rows]
    for since, until in _hours(day.window):
        answers = day.answers(since, until)
        if len(answers):
            parts.append(_join_hour(day, answers, day.events(since, until), joined))
    joined.rows = pa.concat_tables(parts)
    return joined


def _hours(window: Window) -> Iterator[tuple[int, int]]:
    for since in range(window.start_ms, window.end_ms, HOUR_MS):
        yield since, min(since + HOUR_MS, window.end_ms)


def _join_hour(day: Day, answers: pa.Table, events: pa.Table, joined: Joined) -> pa.Table:
    names = [f"key.{name}" for name in day.setting.key]
    of_answers, of_events = number_keys(answers, events, names)
    asked = Moments(of_events, events["time"].to_numpy())
    found = match(asked, Moments(of_answers, answers["time"].to_numpy()), day.reach, CLOCKS_MS)
    taken = np.isin(answers["row"].to_numpy(), joined.used)
    first = first_of_each(found) & ~taken[found]
    joined.events += len(events)
    joined.repeated += int(np.count_nonzero(found != NONE) - np.count_nonzero(first))
    rows = answers.take(found[first])
    joined.used = np.concatenate([joined.used, rows["row"].to_numpy()])
    label = _labels(events["label"].filter(pa.array(first)), day.pipeline.label)
    return rows.select(JOINED.names).append_column("label", label)


def _labels(values: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if strange := sorted({str(value) for value in pc.unique(values).to_pylist()} - {"0", "1"}):
        raise DataRejected(
            f"the label {name!r} was expected to be 0 or 1 in every row, and is {', '.join(strange[:5])} in "
            "some. Bound it in schema.pbtxt (presence and int_domain), so that validation stops such a day."
        )
    return pc.equal(values, 1)
