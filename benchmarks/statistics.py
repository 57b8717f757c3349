"""Statistics of landed examples against TFDV's own ways to them, in one run.

    python -m benchmarks.statistics [--rows 50000]

Each way describes the same rows. The last column says how many of the hundred users with the most rows a
way names: TFDV's in-memory ways look for them with a sketch.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ml.pipelines import load_pipeline
from ml.store import Draft
from ml.validation import compute_statistics, tfdv
from ml.validation.counts import read_counts
from tests.ml.validation.days import clicks, with_column

TOP = 100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=50_000)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    table = with_column(clicks(options.rows), "user_id", _users(options.rows))
    with tempfile.TemporaryDirectory() as folder:
        compare(table, Path(folder))


def compare(table: pa.Table, folder: Path) -> None:
    """Time every way once, after all imports, and print a line for each."""
    from tensorflow_data_validation import (
        StatsOptions,
        generate_statistics_from_csv,
        generate_statistics_from_dataframe,
    )

    _write(table, folder)
    frame = pq.read_table(folder / "examples").to_pandas()
    options = StatsOptions(num_top_values=TOP)
    ways: dict[str, Callable[[], list[str]]] = {
        "ours, from Parquet": lambda: _ours(folder),
        "TFDV from a data frame": lambda: _top(
            generate_statistics_from_dataframe(frame, stats_options=options, n_jobs=1)
        ),
        "TFDV from CSV (Beam)": lambda: _top(
            generate_statistics_from_csv(str(folder / "examples.csv"), stats_options=options)
        ),
    }
    true_top = _as_frequent_as_the_top(table)
    print(f"{len(table):,} rows of {table.num_columns} columns\n")
    print(f"{'way':24} {'seconds':>8} {'rows/s':>10} {'times ours':>10} {f'top {TOP}':>8}")
    base = 0.0
    for name, way in ways.items():
        started = time.monotonic()
        named = way()
        seconds = time.monotonic() - started
        base = base or seconds
        rate, ratio, right = len(table) / seconds, seconds / base, len(true_top & set(named))
        print(f"{name:24} {seconds:8.2f} {rate:10,.0f} {ratio:10.1f} {right:8}")


def _users(rows: int) -> np.ndarray:
    """Users of whom the most frequent are far from frequent, as in a click log."""
    ranks = np.random.default_rng(1).pareto(0.8, rows) * rows / 50
    return np.char.add("u", ranks.astype(np.int64).astype(str))


def _write(table: pa.Table, folder: Path) -> None:
    (folder / "examples").mkdir()
    (folder / "statistics").mkdir()
    pq.write_table(table, folder / "examples" / "part-00000.parquet", compression="zstd")
    pyarrow.csv.write_csv(table, folder / "examples.csv")


def _ours(folder: Path) -> list[str]:
    statistics = folder / "statistics"
    compute_statistics(load_pipeline("clicks"), folder / "examples", Draft(statistics, "statistics"))
    counts = read_counts(statistics, "user_id")
    assert counts is not None
    return counts["value"].to_pylist()[:TOP]


def _top(statistics: object) -> list[str]:
    for feature in statistics.datasets[0].features:  # type: ignore[attr-defined]
        if feature.path.step[0] == "user_id":
            return [value.value for value in feature.string_stats.top_values]
    return []


def _as_frequent_as_the_top(table: pa.Table) -> set[str]:
    """The users with the most rows, and all that tie with the last of them."""
    users, counts = np.unique(table["user_id"].to_numpy(), return_counts=True)
    return set(users[counts >= np.sort(counts)[-TOP]].tolist())


if __name__ == "__main__":
    assert tfdv, "imported before anything is timed"
    main()
