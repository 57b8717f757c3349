from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.validation.cells import MISSING, RARE, Cells, categorical_cells, pool_rare
from ml.validation.divergence import PSEUDOCOUNT, measure_divergence

counts = st.lists(st.integers(0, 5000), min_size=2, max_size=30).filter(lambda numbers: sum(numbers) > 0)


def table(values: list[str | None]) -> pa.Table:
    counted = Counter(values)
    return pa.table({"value": pa.array(list(counted), pa.string()), "count": list(counted.values())})


def cells(today: list[int], baseline: list[int]) -> Cells:
    names = tuple(str(at) for at in range(len(today)))
    return Cells(names, np.array(today, np.float64), np.array(baseline, np.float64))


def divergence_of(today: list[str | None], baseline: list[str | None]) -> tuple[float, float]:
    """KL and JS divergence in bits, from raw values and the textbook, sharing no code with the product."""
    values = sorted(set(today) | set(baseline), key=str)

    def share(sample: list[str | None], value: str | None) -> float:
        return (sample.count(value) + PSEUDOCOUNT) / (len(sample) + PSEUDOCOUNT * len(values))

    def kl(left: list[float], right: list[float]) -> float:
        return sum(p * math.log2(p / q) for p, q in zip(left, right, strict=True))

    p, q = [share(today, value) for value in values], [share(baseline, value) for value in values]
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return kl(p, q), (kl(p, middle) + kl(q, middle)) / 2


def test_the_divergence_is_the_textbooks_derived_from_raw_values() -> None:
    draw = np.random.default_rng(5)
    today = draw.choice(["a", "b", "c", "d", None], 2000, p=[0.5, 0.2, 0.1, 0.1, 0.1]).tolist()
    baseline = draw.choice(["a", "b", "c", "e", None], 3000, p=[0.3, 0.3, 0.2, 0.1, 0.1]).tolist()

    found = measure_divergence(pool_rare(categorical_cells(table(today), [table(baseline)])))

    assert (found.kl_bits, found.jsd_bits) == pytest.approx(divergence_of(today, baseline))
    assert found.cells == 6


def test_the_days_of_a_baseline_are_put_together_by_their_rows() -> None:
    today, days = ["a"] * 300 + ["b"] * 300, [["a"] * 900 + [None] * 30, ["b"] * 100]

    apart = categorical_cells(table(today), [table(day) for day in days])
    together = categorical_cells(table(today), [table(days[0] + days[1])])

    assert measure_divergence(apart) == measure_divergence(together)


@given(counts)
def test_a_sample_does_not_diverge_from_itself(sample: list[int]) -> None:
    found = measure_divergence(pool_rare(cells(sample, sample)))

    assert found.divergence_bits == 0
    assert found.kl_bits == pytest.approx(0, abs=1e-12)
    assert found.jsd_bits == pytest.approx(0, abs=1e-12)


@given(counts, st.data())
def test_the_order_of_values_does_not_matter(sample: list[int], data: st.DataObject) -> None:
    other = data.draw(st.permutations(sample))
    rows = list(zip(sample, other, strict=True))
    shuffled = data.draw(st.permutations(rows))

    found = [
        measure_divergence(pool_rare(cells(*map(list, zip(*way, strict=True))))) for way in (rows, shuffled)
    ]  # type: ignore[misc, arg-type]

    assert found[0].kl_bits == pytest.approx(found[1].kl_bits, abs=1e-9)
    assert found[0].jsd_bits == pytest.approx(found[1].jsd_bits, abs=1e-9)


@given(counts, st.integers(1, 100_000))
def test_a_value_that_the_baseline_has_never_seen_counts_and_is_finite(sample: list[int], rows: int) -> None:
    found = measure_divergence(cells([*sample, rows], [*sample, 0]))

    assert 0 < found.kl_bits < math.inf
    assert 0 <= found.jsd_bits <= 1


@given(counts, st.data(), st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_the_further_a_sample_is_moved_the_further_it_diverges(
    baseline: list[int], data: st.DataObject, steps: list[float]
) -> None:
    elsewhere = np.array(data.draw(st.permutations(baseline)), np.float64)
    origin = np.array(baseline, np.float64)
    names = tuple(str(at) for at in range(len(origin)))

    found = [
        measure_divergence(Cells(names, (1 - step) * origin + step * elsewhere, origin))
        for step in sorted(steps)
    ]

    assert all(nearer.kl_bits <= further.kl_bits + 1e-9 for nearer, further in pairwise(found))
    assert all(nearer.jsd_bits <= further.jsd_bits + 1e-9 for nearer, further in pairwise(found))


@given(counts, st.data())
def test_pooling_rare_values_loses_no_row(sample: list[int], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.integers(0, 5000), min_size=len(sample), max_size=len(sample)))
    if not sum(other):
        return
    apart = cells(sample, other)

    pooled = pool_rare(apart)

    assert pooled.today.sum() == apart.today.sum()
    assert pooled.baseline.sum() == apart.baseline.sum()
    assert len(set(pooled.names)) == len(pooled.names)


def test_rare_values_are_compared_together() -> None:
    today, baseline = ["often"] * 5000 + [f"rare{at}" for at in range(300)], ["often"] * 5000

    pooled = pool_rare(categorical_cells(table(today), [table(baseline)]))

    assert pooled.names == ("often", RARE)
    assert pooled.today.tolist() == [5000, 300]


def test_a_new_value_of_a_small_day_is_seen_beside_a_large_baseline() -> None:
    today, baseline = cells([960, 40], [1_000_000, 0]), cells([1000, 0], [1_000_000, 0])

    assert pool_rare(today).names == ("0", "1")
    assert measure_divergence(pool_rare(today)).divergence_bits > 0.3
    assert measure_divergence(pool_rare(baseline)).divergence_bits == 0


def test_missing_values_are_a_value() -> None:
    today, baseline = table([None] * 500 + ["a"] * 500), table(["a"] * 1000)

    compared = categorical_cells(today, [baseline])

    assert dict(zip(compared.names, compared.today, strict=True)) == {"a": 500, MISSING: 500}
    assert measure_divergence(compared).divergence_bits > 1


SHAPES = {
    "ten values": np.ones(10) / 10,
    "a thousand values": np.ones(1000) / 1000,
    "a long tail": 1 / np.arange(1, 20_001) / (1 / np.arange(1, 20_001)).sum(),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize(
    ("rows", "baseline_rows"), [(1000, 1000), (5000, 15_000), (1000, 100_000), (100_000, 1000)]
)
def test_samples_from_one_distribution_diverge_by_the_stated_bias_and_noise(
    shape: np.ndarray, rows: int, baseline_rows: int
) -> None:
    draw = np.random.default_rng(11)
    tries = 120

    found = []
    for _ in range(tries):
        sides = [draw.multinomial(size, shape).tolist() for size in (rows, baseline_rows)]
        found.append(measure_divergence(pool_rare(cells(*sides))))

    left = np.array([one.kl_bits - one.bias_bits for one in found])
    beyond = sum(one.kl_bits - one.bias_bits > one.noise_bits for one in found)
    chance = np.mean([one.noise_bits for one in found])
    assert abs(left.mean()) <= chance / 4 + 1e-5
    assert beyond <= tries // 40


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 400), st.floats(0.0, 2.0))
def test_what_is_taken_off_holds_for_any_number_of_values(size: int, slope: float) -> None:
    shape = 1 / np.arange(1, size + 1) ** slope
    draw = np.random.default_rng(size)

    found = []
    for _ in range(40):
        sides = [draw.multinomial(rows, shape / shape.sum()).tolist() for rows in (3000, 6000)]
        found.append(measure_divergence(pool_rare(cells(*sides))))

    left = np.mean([one.kl_bits - one.bias_bits for one in found])
    assert abs(left) <= np.mean([one.noise_bits for one in found]) / 2 + 1e-4
