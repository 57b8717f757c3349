"""A pipeline small enough to train in a second, with one feature of every sort."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.artifact import Window
from ml.config import Pipeline

DAY = Window.parse("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")
HOLDOUT = Window.parse("2026-03-10T18:00:00+00:00", "2026-03-11T00:00:00+00:00")
COLOURS = ["red", "green", "blue", "grey"]
COLUMNS = {
    "colour": "BYTES",
    "user": "BYTES",
    "hour": "INT",
    "price": "FLOAT",
    "age": "INT",
    "time": "INT",
    "bought": "INT",
}
TYPES = {"BYTES": pa.string(), "INT": pa.int64(), "FLOAT": pa.float64()}
SCHEMA = pa.schema([(name, TYPES[kind]) for name, kind in COLUMNS.items()])
SETTINGS: dict[str, Any] = {
    "name": "small",
    "owner": "tests",
    "description": "What is bought",
    "label": "bought",
    "landing": {
        "topic": "small",
        "time_zone": "UTC",
        "event_time": "time",
        "settle_minutes": 0,
        "max_reject_fraction": 0.1,
    },
    "validation": {},
    "features": {
        "categorical": {
            "colour": {"vocabulary": 3, "embedding": 4},
            "user": {"hash_buckets": 50, "embedding": 4},
            "hour": {"vocabulary": 24, "embedding": 2},
        },
        "numeric": {"price": {"scale": "log", "buckets": 4}, "age": {"buckets": 5}},
        "wide": ["colour", "user", "hour", "price"],
        "crossed": [
            {"features": ["colour", "hour"], "hash_buckets": 200},
            {"features": ["user", "colour", "age"], "hash_buckets": 64},
        ],
        "deep": ["colour", "user", "hour", "price", "age"],
    },
    "drift": {"thresholds": {}, "ignored": ["colour", "user", "hour", "price", "age"]},
    "training": {
        "window_days": 1,
        "holdout_fraction": 0.25,
        "epochs": 1,
        "batch_size": 64,
        "workers": 1,
        "hidden_units": [8],
        "dropout": 0.1,
        "checkpoint_steps": 8,
        "seed": 7,
    },
    "gate": {
        "metric": "auc",
        "min_gain": 0.0,
        "slice_margin": 0.01,
        "min_examples": 10,
        "min_slice_examples": 10,
        "floors": {"auc": 0.5, "calibration_low": 0.5, "calibration_high": 2.0},
    },
    "serving": {"model": "small"},
}


def small_pipeline(folder: Path, **training: object) -> Pipeline:
    """The pipeline, with other values for some keys of its training section."""
    features = "".join(f'feature {{ name: "{name}" type: {kind} }}\n' for name, kind in COLUMNS.items())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schema.pbtxt").write_text(features)
    return Pipeline(**{**SETTINGS, "folder": folder, "training": {**SETTINGS["training"], **training}})


def purchases(size: int, seed: int = 1) -> pa.Table:
    """Rows over one day in which blue things are bought and some values are missing."""
    random = np.random.default_rng(seed)
    colour = random.choice(COLOURS, size, p=[0.4, 0.3, 0.2, 0.1])
    return pa.table(
        {
            "colour": pa.array(colour, mask=random.random(size) < 0.05),
            "user": pa.array([f"user-{number}" for number in random.integers(0, 200, size)]),
            "hour": pa.array(random.integers(0, 24, size)),
            "price": pa.array(random.lognormal(2.0, 1.0, size), mask=random.random(size) < 0.1),
            "age": pa.array(random.integers(13, 90, size), mask=random.random(size) < 0.1),
            "time": DAY.start_ms + np.arange(size) * (DAY.end_ms - DAY.start_ms) // size,
            "bought": (random.random(size) < np.where(colour == "blue", 0.7, 0.2)).astype(np.int64),
        },
        schema=SCHEMA,
    )


def land(rows: pa.Table, directory: Path, row_group_size: int = 1000) -> Path:
    """Write rows as two parts of landed examples."""
    directory.mkdir(parents=True)
    half = rows.num_rows // 2
    for number, part in enumerate([rows.slice(0, half), rows.slice(half)]):
        pq.write_table(part, directory / f"part-{number:05d}.parquet", row_group_size=row_group_size)
    return directory


def row(**values: Any) -> dict[str, Any]:
    """One complete row, with some values replaced; None is missing."""
    usual = {"colour": "red", "user": "user-1", "hour": 8, "price": 5.0, "age": 30, "time": DAY.start_ms}
    return {**usual, "bought": 0, **values}


def table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """Rows as landed."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)
