from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.config import Pipeline
from ml.store import Draft
from ml.validation.drift import measure_drift

from .days import write_statistics

Change = Callable[..., Pipeline]
Measure = Callable[..., dict[str, Any]]

DEVICES = {"mobile": 6000, "desktop": 3300, "tablet": 700}
PRICES = np.random.default_rng(1).lognormal(3, 1, 10_000)


@pytest.fixture
def two_features(changed: Change) -> Pipeline:
    """The clicks pipeline, watching one feature of each kind."""
    return changed("drift", thresholds={"device": 0.05, "price": 0.1}, ignored=("user_id",))


@pytest.fixture
def day(tmp_path: Path) -> Callable[..., Path]:
    """Writes the statistics of a day."""
    written = []

    def write(device: Mapping[str | None, int] = DEVICES, price: np.ndarray = PRICES) -> Path:
        written.append(tmp_path / f"statistics-{len(written)}")
        return write_statistics(written[-1], sum(device.values()), {"price": price}, {"device": device})

    return write


@pytest.fixture
def measure(draft: Callable[..., Draft]) -> Measure:
    """Measures drift and reads the report."""
    started = []

    def run(pipeline: Pipeline, today: Path, *baseline: Path) -> dict[str, Any]:
        started.append(draft("drift_report", f"report-{len(started)}"))
        measure_drift(pipeline, today, baseline, started[-1])
        report: dict[str, Any] = json.loads((started[-1].path / "drift_report.json").read_text())
        return {**report, "facts": started[-1].facts}

    return run


def entries(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["feature"]: entry for entry in report["features"]}


def test_equal_days_have_not_drifted(
    measure: Measure, two_features: Pipeline, day: Callable[..., Path]
) -> None:
    report = measure(two_features, day(), day(), day())

    assert (report["drifted"], report["undecided"], report["ignored"]) == ([], [], ["user_id"])
    assert report["baseline"] == {"days": 2, "rows": 20_000}
    assert [entry["divergence_bits"] for entry in report["features"]] == [0, 0]


def test_the_feature_that_moved_is_named_with_its_threshold_and_its_shares(
    measure: Measure, two_features: Pipeline, day: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    today = day({"mobile": 4000, "desktop": 1900, "tablet": 4100})

    with caplog.at_level(logging.INFO):
        report = measure(two_features, today, day())

    device = entries(report)["device"]
    assert report["drifted"] == report["facts"]["drifted"] == ["device"]
    assert device["divergence_bits"] > device["threshold_bits"] == 0.05
    assert device["movers"][0] == {"cell": "tablet", "baseline_share": 0.07, "today_share": 0.41}
    assert "over its threshold of 0.05; tablet 7 % → 41 %; mobile 60 % → 40 %" in caplog.text


def test_numbers_that_moved_are_named(
    measure: Measure, two_features: Pipeline, day: Callable[..., Path]
) -> None:
    report = measure(two_features, day(price=PRICES * 2), day())

    assert report["drifted"] == ["price"]
    assert entries(report)["price"]["kind"] == "numeric"


def test_missing_values_are_drift(measure: Measure, two_features: Pipeline, day: Callable[..., Path]) -> None:
    report = measure(two_features, day({**DEVICES, "mobile": 3000, None: 3000}, PRICES[:7000]), day())

    assert report["drifted"] == ["device", "price"]
    assert entries(report)["price"]["missing"] == {"today": 0.3, "baseline": 0.0}


def test_without_a_baseline_the_report_says_so(
    measure: Measure, two_features: Pipeline, day: Callable[..., Path]
) -> None:
    report = measure(two_features, day())

    assert "no baseline" in report["reason"]
    assert (report["features"], report["drifted"]) == ([], [])
    assert report["baseline"] == {"days": 0, "rows": 0}


def test_with_too_few_rows_it_cannot_be_told(
    measure: Measure, changed: Change, day: Callable[..., Path]
) -> None:
    pipeline = changed("drift", thresholds={"device": 0.05}, min_rows=20_000)

    report = measure(pipeline, day({"tablet": 10_000}), day(), day())

    assert report["undecided"] == ["device"]
    assert entries(report)["device"]["drifted"] is None
    assert "20,000 rows on both sides" in entries(report)["device"]["reason"]


def test_a_threshold_below_what_chance_reaches_cannot_be_held(
    measure: Measure, changed: Change, day: Callable[..., Path]
) -> None:
    pipeline = changed("drift", thresholds={"device": 1e-5})

    assert "chance alone" in entries(measure(pipeline, day(), day()))["device"]["reason"]


def test_values_that_are_all_rare_cannot_be_compared(
    measure: Measure, changed: Change, tmp_path: Path
) -> None:
    pipeline = changed("drift", thresholds={"brand": 0.1})
    days = [
        write_statistics(tmp_path / name, 5000, values={"brand": {f"{name}{at}": 1 for at in range(5000)}})
        for name in ("today", "baseline")
    ]

    entry = entries(measure(pipeline, *days))["brand"]

    assert entry["drifted"] is None
    assert "too rare to compare" in entry["reason"]


def test_a_feature_that_the_baseline_does_not_know_is_a_finding(
    measure: Measure, changed: Change, day: Callable[..., Path]
) -> None:
    pipeline = changed("drift", thresholds={"brand": 0.1, "age": 0.1})

    report = measure(pipeline, day(), day())

    assert report["undecided"] == ["age", "brand"]
    assert all(entry["divergence_bits"] is None for entry in report["features"])


def test_text_that_is_not_counted_is_a_finding(measure: Measure, changed: Change, tmp_path: Path) -> None:
    pipeline = changed("drift", thresholds={"session_id": 0.1})
    # TFDV describes the field, but knows neither its numbers nor how often it has which value.
    days = [write_statistics(tmp_path / name, 5000, {"session_id": []}) for name in ("today", "baseline")]

    report = measure(pipeline, *days)

    assert report["undecided"] == report["facts"]["undecided"] == ["session_id"]
    assert "not counted; make it a categorical feature" in entries(report)["session_id"]["reason"]


def test_a_day_without_rows_is_a_finding(
    measure: Measure, two_features: Pipeline, day: Callable[..., Path]
) -> None:
    assert measure(two_features, day({}, np.empty(0)), day())["undecided"] == ["device", "price"]


def test_the_order_of_the_baselines_days_changes_no_byte(
    draft: Callable[..., Draft], two_features: Pipeline, day: Callable[..., Path]
) -> None:
    today = day({"mobile": 9000, "tv": 1000})
    days = [day(), day(price=PRICES[::-1] + 1), day({"tablet": 10_000})]

    reports = []
    for name, order in (("one", days), ("other", days[::-1])):
        started = draft("drift_report", name)
        measure_drift(two_features, today, order, started)
        reports.append((started.path / "drift_report.json").read_bytes())

    assert reports[0] == reports[1]
