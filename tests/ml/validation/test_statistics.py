from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.config import Pipeline
from ml.store import Draft
from ml.validation import collector, compute_statistics, examples
from ml.validation.counts import read_counts
from ml.validation.drift import DayStatistics, compare_days
from ml.validation.histogram import Distribution
from ml.validation.statistics_file import read_statistics

from .days import clicks, land, with_column


@pytest.fixture
def describe(tmp_path: Path, pipeline: Pipeline, draft: Callable[..., Draft]) -> Callable[..., Path]:
    """Lands a table and computes its statistics."""
    landed = []

    def run(table: pa.Table, parts: int = 1) -> Path:
        landed.append(land(tmp_path / f"examples-{len(landed)}", table, parts))
        started = draft("statistics", f"statistics-{len(landed)}")
        compute_statistics(pipeline, landed[-1], started)
        return started.path

    return run


def features_of(statistics: Path) -> dict[str, Any]:
    return {feature.path.step[0]: feature for feature in read_statistics(statistics).datasets[0].features}


def test_every_field_is_described_and_nothing_else(describe: Callable[..., Path]) -> None:
    table = clicks(2000)

    dataset = read_statistics(describe(table)).datasets[0]

    assert dataset.num_examples == 2000
    assert [feature.path.step[0] for feature in dataset.features] == table.column_names[:-2]


def test_numbers_are_those_of_numpy(describe: Callable[..., Path]) -> None:
    table = clicks(5000)
    ages = table["age"].drop_null().to_numpy()

    found = features_of(describe(table, parts=3))["age"].num_stats

    assert found.common_stats.num_missing == table["age"].null_count
    assert (found.mean, found.std_dev) == pytest.approx((ages.mean(), ages.std()))
    assert (found.min, found.max, found.median) == (ages.min(), ages.max(), np.median(ages))


def test_the_distribution_is_exact_at_its_knots(describe: Callable[..., Path]) -> None:
    table = clicks(5000)
    found = features_of(describe(table, parts=3))

    for name in ("price", "quantity", "position", "item_ctr"):
        distribution = Distribution.of(found[name])
        ascending = np.sort(table[name].to_numpy())
        exact = np.searchsorted(ascending, distribution.knots[1:], side="right")
        assert np.abs(distribution.cumulative[1:] - exact).max() <= 5


def test_values_are_counted_exactly_where_there_are_very_many(
    describe: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "BATCH_ROWS", 1000)
    draw = np.random.default_rng(2)
    users = np.char.add("u", (draw.pareto(1, 60_000) * 5000).astype(int).astype(str))
    exact = Counter(users.tolist())
    statistics = describe(with_column(clicks(60_000), "user_id", users))

    counts = read_counts(statistics, "user_id")
    shown = features_of(statistics)["user_id"].string_stats

    assert counts is not None
    assert dict(zip(counts["value"].to_pylist(), counts["count"].to_pylist(), strict=True)) == exact
    assert shown.unique == len(exact) > 10_000
    assert [top.frequency for top in shown.top_values] == [count for _, count in exact.most_common(20)]
    assert all(exact[top.value] == top.frequency for top in shown.top_values)


def test_whole_numbers_that_are_categories_are_counted_too(describe: Callable[..., Path]) -> None:
    table = clicks(2000)

    counts = read_counts(describe(table), "hour")

    assert counts is not None
    assert dict(zip(counts["value"].to_pylist(), counts["count"].to_pylist(), strict=True)) == Counter(
        map(str, table["hour"].to_pylist())
    )


def test_missing_categories_are_counted(describe: Callable[..., Path]) -> None:
    brands = [None if at % 4 == 0 else "acme" for at in range(1000)]

    counts = read_counts(describe(with_column(clicks(1000), "brand", brands)), "brand")

    assert counts is not None
    assert counts.to_pydict() == {"value": ["acme", None], "count": [750, 250]}


def test_the_distinct_values_of_other_text_are_estimated(describe: Callable[..., Path]) -> None:
    statistics = describe(clicks(30_000))

    assert features_of(statistics)["event_id"].string_stats.unique == pytest.approx(30_000, rel=0.05)
    assert read_counts(statistics, "event_id") is None


def test_the_page_says_which_numbers_are_exact(describe: Callable[..., Path]) -> None:
    page = (describe(clicks(500)) / "statistics.html").read_text()

    assert "exact counts" in page
    assert "facets" in page


def test_the_same_examples_give_the_same_bytes(describe: Callable[..., Path]) -> None:
    one, other = describe(clicks(3000), parts=2), describe(clicks(3000), parts=2)

    names = sorted(path.name for path in one.iterdir())
    assert names == ["counts.parquet", "statistics.html", "statistics.pb"]
    assert [(one / name).read_bytes() for name in names] == [(other / name).read_bytes() for name in names]


def test_the_parts_that_a_day_is_written_in_do_not_matter(describe: Callable[..., Path]) -> None:
    whole, parted = (features_of(describe(clicks(3000), parts)) for parts in (1, 7))

    assert whole["device"] == parted["device"]
    assert whole["price"].num_stats.mean == pytest.approx(parted["price"].num_stats.mean)


def test_flat_columns_become_lists_of_one_and_missing_values_null_lists() -> None:
    batch = pa.RecordBatch.from_pydict({"name": ["a", None, "b"], "count": [1, 2, None]})

    assert collector.as_lists(batch).to_pydict() == {"name": [["a"], None, ["b"]], "count": [[1], [2], None]}


def test_a_field_without_any_value_is_described(describe: Callable[..., Path]) -> None:
    table = with_column(clicks(500), "age", pa.nulls(500, pa.int64()))

    assert features_of(describe(table))["age"].num_stats.common_stats.num_missing in (0, 500)


def test_days_of_one_kind_have_not_drifted(pipeline: Pipeline, describe: Callable[..., Path]) -> None:
    today, *baseline = [DayStatistics.read(describe(clicks(4000, seed))) for seed in range(4)]

    report = compare_days(pipeline, today, baseline)

    assert (report["drifted"], report["undecided"]) == ([], [])
    assert max(entry["divergence_bits"] or 0 for entry in report["features"]) < 0.02


def test_each_part_is_read_in_its_order(tmp_path: Path) -> None:
    folder = land(tmp_path / "day", clicks(1000), parts=4)

    offsets = [
        row for batch in examples.read_batches(folder, ["_offset"]) for row in batch.column(0).to_pylist()
    ]

    assert offsets == clicks(1000)["_offset"].to_pylist()
    assert examples.count_rows(folder) == sum(pq.read_metadata(path).num_rows for path in folder.iterdir())
