from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import statistics_pb2

from ml.validation.cells import MISSING, Cells, numeric_cells, pool_rare
from ml.validation.divergence import PSEUDOCOUNT, measure_divergence
from ml.validation.histogram import Distribution

from .days import quantile_histogram

BINS = 20


def distribution(values: Any) -> Distribution:
    feature = statistics_pb2.FeatureNameStatistics()
    feature.num_stats.histograms.append(quantile_histogram(values))
    return Distribution.of(feature)


def compared(today: Any, baseline: Any, bins: int = BINS) -> Cells:
    return numeric_cells(distribution(today), [distribution(baseline)], (len(today), len(baseline)), bins)


def bits(today: Any, baseline: Any) -> float:
    return measure_divergence(pool_rare(compared(today, baseline))).kl_bits


def divergence_of(today: np.ndarray, baseline: np.ndarray) -> float:
    """KL divergence in bits, from raw numbers cut at the baseline's quantiles."""
    ends = np.quantile(baseline, np.arange(1, BINS) / BINS, method="inverted_cdf")
    sides = []
    for sample in (today, baseline):
        cell = np.searchsorted(ends, sample, side="left")
        counted = np.array([np.count_nonzero(cell == at) for at in range(BINS)]) + PSEUDOCOUNT
        sides.append(counted / counted.sum())
    return float(sum(p * np.log2(p / q) for p, q in zip(*sides, strict=True)))


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5, 1.5])
def test_the_divergence_of_numbers_is_that_of_the_raw_values(shift: float) -> None:
    draw = np.random.default_rng(3)
    today, baseline = draw.normal(shift, 1, 8000), draw.normal(0, 1, 20_000)

    assert bits(today, baseline) == pytest.approx(divergence_of(today, baseline), rel=0.05, abs=3e-4)


def test_whole_numbers_with_few_values_are_counted_exactly() -> None:
    draw = np.random.default_rng(4)
    today, baseline = draw.integers(1, 6, 5000), draw.integers(1, 6, 7000)

    found = compared(today, baseline)

    by_name = dict(zip(found.names, found.today, strict=True))
    assert {name: count for name, count in by_name.items() if count} == {
        str(value): np.count_nonzero(today == value) for value in range(1, 6)
    }


def test_a_value_that_fills_a_cell_alone_is_kept_apart_from_its_neighbours() -> None:
    baseline = np.concatenate([np.ones(8000), np.linspace(2, 50, 2000)])
    today = np.concatenate([np.full(400, -1.0), baseline[400:]])

    found = compared(today, baseline)

    assert found.today[found.names.index("below 1")] == 400
    assert found.today[found.names.index("1")] == 7600
    assert found.baseline[found.names.index("1")] == 8000


def test_one_value_far_out_is_no_drift() -> None:
    draw = np.random.default_rng(6)
    baseline = draw.lognormal(3, 1, 50_000)
    today = np.append(draw.lognormal(3, 1, 49_999), 1e9)

    assert bits(today, baseline) < 0.002


def test_a_value_below_the_least_one_is_no_drift_by_itself() -> None:
    draw = np.random.default_rng(6)
    baseline = draw.geometric(0.7, 50_000)
    today = np.append(draw.geometric(0.7, 49_999), -5)

    assert bits(today, baseline) < 0.002


def test_a_new_peak_beyond_the_greatest_value_is_seen() -> None:
    baseline = np.random.default_rng(7).normal(0, 1, 10_000)
    today = np.append(baseline[:9000], np.full(1000, 100.0))

    assert bits(today, baseline) > 0.05


def test_missing_numbers_are_a_cell() -> None:
    values = np.arange(1000.0)

    found = numeric_cells(distribution(values), [distribution(values)], (1250, 1000), BINS)

    assert found.names[-1] == MISSING
    assert (found.today[-1], found.baseline[-1]) == (250, 0)


def test_a_field_without_any_number_is_all_missing() -> None:
    found = numeric_cells(distribution([]), [distribution([])], (100, 300), BINS)

    assert dict(zip(found.names, found.today, strict=True)) == {"any number": 0, MISSING: 100}


def test_the_days_of_a_baseline_are_put_together() -> None:
    draw = np.random.default_rng(8)
    today, days = draw.normal(0, 1, 3000), [draw.normal(0, 1, 2000), draw.normal(0.2, 1, 6000)]

    apart = numeric_cells(distribution(today), [distribution(day) for day in days], (3000, 8000), BINS)

    assert measure_divergence(apart).kl_bits == pytest.approx(bits(today, np.concatenate(days)), abs=2e-3)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(2, 40))
def test_every_row_is_in_one_cell(values: list[float], bins: int) -> None:
    found = compared(values, values, bins)

    assert found.today.sum() == pytest.approx(len(values))
    assert found.today == pytest.approx(found.baseline)
    assert len(set(found.names)) == len(found.names) or bins > len(set(values))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 6), min_size=2, max_size=5), st.integers(0, 10_000))
def test_the_further_numbers_are_shifted_the_further_they_diverge(shifts: list[float], seed: int) -> None:
    baseline = np.random.default_rng(seed).normal(0, 1, 2000)

    found = [bits(baseline + shift, baseline) for shift in sorted(shifts)]

    assert all(nearer <= further + 0.005 for nearer, further in pairwise(found))


@settings(deadline=None, max_examples=40)
@given(st.permutations(range(200)), st.floats(-3, 3))
def test_the_order_of_numbers_does_not_matter(order: list[int], shift: float) -> None:
    values = np.arange(200.0) ** 1.5

    assert bits(values[order] + shift, values[order]) == bits(values + shift, values)


def test_numbers_from_one_distribution_diverge_by_the_stated_bias_and_noise() -> None:
    draw = np.random.default_rng(9)
    shapes = {
        "skewed": lambda rows: draw.lognormal(3, 1, rows),
        "few values": lambda rows: draw.geometric(0.7, rows),
        "ages": lambda rows: draw.integers(18, 80, rows),
    }
    for sample in shapes.values():
        found = [measure_divergence(pool_rare(compared(sample(5000), sample(15_000)))) for _ in range(40)]
        left = np.mean([one.kl_bits - one.bias_bits for one in found])
        assert abs(left) <= np.mean([one.noise_bits for one in found]) / 3
        assert sum(one.kl_bits - one.bias_bits > one.noise_bits for one in found) <= 1
