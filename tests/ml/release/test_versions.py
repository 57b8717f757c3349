from __future__ import annotations

import multiprocessing
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.artifact import Artifact, Window
from ml.pipelines import load_pipeline
from ml.release.versions import Versions, version_number
from ml.store import Store

COUNTS = st.integers(1, 999)
FORK = multiprocessing.get_context("fork")


def model(digest: str) -> Artifact:
    return Artifact(kind="model", uri=f"store:clicks/model/{digest}", digest=digest)


@pytest.fixture
def versions(store: Store) -> Versions:
    return Versions(load_pipeline("clicks"), store)


def test_a_number_is_the_day_and_a_count():
    assert version_number(date(2026, 11, 20), 1) == 20261120001


@given(st.tuples(st.dates(), COUNTS), st.tuples(st.dates(), COUNTS))
def test_numbers_are_ordered_as_days_and_counts_are(one: tuple[date, int], other: tuple[date, int]):
    assert (version_number(*one) < version_number(*other)) == (one < other)


@given(st.dates(), COUNTS)
def test_a_number_fits_the_int64_of_a_model_server(day: date, count: int):
    assert 0 < version_number(day, count) < 2**63


@pytest.mark.parametrize("count", [0, 1000])
def test_a_count_that_has_no_place_is_refused(count: int):
    with pytest.raises(ValueError, match="1 to 999"):
        version_number(date(2026, 11, 20), count)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.sampled_from("abcde"), max_size=12))
def test_the_same_model_keeps_its_number_and_another_gets_the_next(
    tmp_path_factory: pytest.TempPathFactory, window: Window, digests: list[str]
):
    versions = Versions(load_pipeline("clicks"), Store(tmp_path_factory.mktemp("store")))

    numbers = {
        digest: {versions.allot(model(digest), window).number for digest in digests} for digest in digests
    }

    first_seen = list(dict.fromkeys(digests))
    assert all(
        numbers[digest] == {20260310000 + n for n in range(1, len(first_seen) + 1)} for digest in digests
    )
    assert [versions.allot(model(digest), window).number for digest in first_seen] == [
        20260310001 + place for place in range(len(first_seen))
    ]


def test_the_day_is_the_one_of_the_pipelines_time_zone(store: Store):
    pipeline = load_pipeline("clicks")
    landing = pipeline.landing.model_copy(update={"time_zone": "Asia/Tokyo"})
    tokyo = Versions(pipeline.model_copy(update={"landing": landing}), store)

    window = Window.of_day(date(2026, 11, 20), "Asia/Tokyo")

    assert window.start.day == 19
    assert tokyo.allot(model("a"), window).number == 20261120001


def test_a_record_says_what_the_number_stands_for(versions: Versions, window: Window):
    allotted = versions.allot(model("a"), window)

    assert versions.find(allotted.number) == allotted
    assert allotted.watermark == window.end


def test_a_number_that_was_never_allotted_stands_for_nothing(versions: Versions):
    assert versions.find(20260310001) is None


def test_two_processes_never_give_one_number_to_two_models(versions: Versions, window: Window):
    processes = [FORK.Process(target=versions.allot, args=(model(digest), window)) for digest in "abcd"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    found = [versions.find(20260310000 + count) for count in range(1, 5)]
    assert sorted(version.model["digest"] for version in found if version) == list("abcd")
