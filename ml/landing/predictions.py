"""The router's record of its answers becomes Parquet, as far as two versions answered side by side.

The router (deploy/router) writes one JSON object for each good answer into a file of the hour, named
``<model>-<YYYY-MM-DDTHH>.jsonl`` in UTC, and deletes old files. What is landed here stays.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
from numpy.typing import NDArray

from ml.config import Realised
from ml.errors import Misconfigured
from ml.landing.files import ParquetFiles
from ml.store import Draft
from ml.trials import TRACKS, TrialSpan, span_of

PREDICTIONS_FILE = "predictions.parquet"
GROUP_ROWS = 65_536
BLOCK_BYTES = 32 << 20
HOUR = timedelta(hours=1)
LINE = pa.schema(
    [
        ("time", pa.int64()),
        ("trace", pa.string()),
        ("user", pa.string()),
        ("track", pa.string()),
        ("answered_by", pa.string()),
        ("score", pa.float64()),
        ("key", pa.list_(pa.string())),
    ]
)
Numbers = NDArray[np.int16]
Mask = NDArray[np.bool_]
NEEDED = {"time": int, "trace": str, "user": str, "track": str, "answered_by": str}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnswerLog:
    """The router's files of one model.

    Attributes:
        directory: where they are.
        model: whose answers.
        setting: what they are joined by.
    """

    directory: Path
    model: str
    setting: Realised

    def file(self, hour: datetime) -> Path:
        """The file of the hour that begins then, in UTC."""
        return self.directory / f"{self.model}-{hour:%Y-%m-%dT%H}.jsonl"

    @property
    def schema(self) -> pa.Schema:
        """Of what is landed. ``row`` numbers the rows, and ``key.<field>`` holds what they are found by."""
        fields = [("row", pa.int64()), ("trial", pa.int16()), ("time", pa.int64())]
        texts = ["track", "user", *(f"key.{name}" for name in self.setting.key)]
        return pa.schema([*fields, ("score", pa.float64()), *((name, pa.string()) for name in texts)])


@dataclass
class Landed:
    """What became of the lines so far.

    Attributes:
        rows: how many were kept.
        unreadable: lines that are none of the router's.
        counts: (trial, track, what became of an answer) → how many.
        without_a_file: hours of which there is no file.
    """

    rows: int = 0
    unreadable: int = 0
    counts: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    without_a_file: list[str] = field(default_factory=list)


def land_predictions(answers: AnswerLog, trials: Sequence[TrialSpan], draft: Draft) -> None:
    """Write the answers that were given during the trials and can be joined, and count all others.

    Hour by hour, so memory does not grow with the day. Not kept are the answers of stable for a failed
    canary, which are neither track's, and those without a score or without what they could be found by.

    Args:
        answers: where the router's files are.
        trials: two versions side by side.
        draft: gets ``predictions.parquet``, and ``predictions.json`` with the counts.

    Raises:
        Misconfigured: if there is no file of any hour of the trials.
    """
    landed = Landed()
    hours = _hours(trials)
    with ParquetFiles(lambda _: draft.path / PREDICTIONS_FILE, answers.schema, GROUP_ROWS) as files:
        for hour in hours:
            for lines in _blocks(answers.file(hour), landed):
                files.write(_kept(_parsed(lines, landed), answers, trials, landed))
    if len(landed.without_a_file) == len(hours):
        raise Misconfigured(
            f"the router's record of answers is missing: there is no file of {answers.model} in "
            f"{answers.directory} for any of the hours {landed.without_a_file[0]} to {hours[-1]:%H} UTC, in "
            "which a canary was tried. Is it the directory that the router writes to (predictions_dir of the "
            "serving connection), and did serving.canary.realised stand in pipeline.yaml by then?"
        )
    _describe(landed, trials, draft)


def _hours(trials: Sequence[TrialSpan]) -> list[datetime]:
    found: set[datetime] = set()
    for trial in trials:
        since, until = (datetime.fromtimestamp(end / 1000, timezone.utc) for end in span_of(trial))
        hour = since.replace(minute=0, second=0, microsecond=0)
        while hour < until:
            found.add(hour)
            hour += HOUR
    return sorted(found)


def _blocks(path: Path, landed: Landed) -> Iterator[list[bytes]]:
    if not path.exists():
        landed.without_a_file.append(f"{path.stem[-13:]}")
        return
    with path.open("rb") as file:
        while lines := file.readlines(BLOCK_BYTES):
            yield lines


def _parsed(lines: list[bytes], landed: Landed) -> pa.Table:
    """The lines as columns; in bulk where every line is one of the router's."""
    table = _in_bulk(lines)
    if table is None:
        rows = [row for line in lines if (row := _read(line)) is not None]
        table = pa.Table.from_pylist(rows, schema=LINE)
    landed.unreadable += len(lines) - table.num_rows
    return table


def _in_bulk(lines: list[bytes]) -> pa.Table | None:
    content = b"".join(lines)
    try:
        table = pa.json.read_json(
            pa.BufferReader(content),
            read_options=pa.json.ReadOptions(use_threads=False, block_size=len(content) + 64),
            parse_options=pa.json.ParseOptions(explicit_schema=LINE, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return None
    whole = table.num_rows == len(lines) and not any(table[name].null_count for name in NEEDED)
    return table if whole else None


def _read(line: bytes) -> dict[str, object] | None:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), NEEDED[name]) for name in NEEDED):
        return None
    return {name: found.get(name) for name in LINE.names}


def _kept(lines: pa.Table, answers: AnswerLog, trials: Sequence[TrialSpan], landed: Landed) -> pa.Table:
    """The rows of the trials that can be joined; the others are counted."""
    inputs = answers.setting.inputs
    times = lines["time"].to_numpy()
    keyed = pc.fill_null(pc.equal(pc.list_value_length(lines["key"]), len(inputs)), False).to_numpy()
    scored = lines["score"].is_valid().to_numpy()
    own = pc.equal(lines["track"], lines["answered_by"]).to_numpy()
    fates = {"for_the_other": ~own, "without_score": own & ~scored}
    fates["without_key"] = own & scored & ~keyed & bool(inputs)
    usable = own & scored & (keyed | (not inputs))
    trial = np.full(lines.num_rows, -1, np.int16)
    for number, (since, until) in enumerate(map(span_of, trials)):
        trial[(times >= since) & (times < until)] = number
    _count(landed, lines["track"], trial, {**fates, "kept": usable})
    rows = np.flatnonzero(usable & (trial >= 0))
    return _columns(lines.take(rows), trial[rows], answers, landed)


def _count(landed: Landed, tracks: pa.ChunkedArray, trial: Numbers, fates: dict[str, Mask]) -> None:
    for track in TRACKS:
        on_track = pc.equal(tracks, track).to_numpy()
        for number in np.unique(trial[trial >= 0]):
            for fate, mask in fates.items():
                count = np.count_nonzero(mask & on_track & (trial == number))
                landed.counts[int(number), track, fate] += int(count)


def _columns(rows: pa.Table, trial: Numbers, answers: AnswerLog, landed: Landed) -> pa.Table:
    setting = answers.setting
    numbers = np.arange(landed.rows, landed.rows + rows.num_rows)
    landed.rows += rows.num_rows
    columns = {"row": numbers, "trial": trial, **{name: rows[name] for name in ("time", "track", "user")}}
    if setting.request:
        columns[f"key.{setting.request}"] = rows["trace"]
    parts = pc.list_flatten(rows["key"])
    for place, name in enumerate(setting.inputs):
        columns[f"key.{name}"] = parts.take(np.arange(place, len(parts), len(setting.inputs)))
    columns["score"] = rows["score"]
    return pa.table({name: columns[name] for name in answers.schema.names}, answers.schema)


def _describe(landed: Landed, trials: Sequence[TrialSpan], draft: Draft) -> None:
    fates = ("kept", "for_the_other", "without_score", "without_key")
    counts = [
        {track: {fate: landed.counts[number, track, fate] for fate in fates} for track in TRACKS}
        for number in range(len(trials))
    ]
    content = {"trials": list(trials), "counts": counts, "unreadable": landed.unreadable}
    draft.write_json({**content, "hours_without_a_file": landed.without_a_file})
    draft.facts.update(rows=landed.rows, unreadable=landed.unreadable)
    log.info("%d answers landed, %d lines were unreadable", landed.rows, landed.unreadable)
