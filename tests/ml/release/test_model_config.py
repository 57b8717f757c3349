from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from ml.errors import Misconfigured
from ml.release.model_config import Entry, read_config, read_entry, with_entry, write_config

OTHERS = """
model_config_list {
  config {
    name: "search" base_path: "/models/search" model_platform: "tensorflow"
    model_version_policy { latest { num_versions: 2 } }
    logging_config { sampling_config { sampling_rate: 0.1 } }
  }
  config { name: "ads" base_path: "/models/ads" model_platform: "tensorflow" }
}
"""
VERSIONS = st.integers(1, 30)


@pytest.fixture
def others() -> ModelServerConfig:
    return text_format.Parse(OTHERS, ModelServerConfig())


def entry(*versions: int, **labels: int) -> Entry:
    return Entry("clicks", "/models/clicks", versions, labels)


@pytest.mark.parametrize("content", [None, "", "model_config_list {}"])
def test_a_config_without_models_lists_none(tmp_path: Path, content: str | None):
    path = tmp_path / "models.config"
    if content is not None:
        path.write_text(content)

    assert read_entry(read_config(path), "clicks", "/models/clicks") == entry()


def test_what_was_written_is_read_back(tmp_path: Path, others: ModelServerConfig):
    path = tmp_path / "models.config"

    write_config(path, with_entry(others, entry(3, 4, stable=3)))

    assert read_entry(read_config(path), "clicks", "/models/clicks") == entry(3, 4, stable=3)


@given(st.sets(VERSIONS), st.dictionaries(st.sampled_from(["stable", "canary"]), VERSIONS))
def test_other_models_stay_as_they_are(versions: set[int], labels: dict[str, int]):
    before = text_format.Parse(OTHERS, ModelServerConfig())

    after = with_entry(before, entry(*sorted(versions), **labels))
    after = with_entry(after, entry())

    assert after == before


def test_a_config_is_never_changed_in_place(others: ModelServerConfig):
    before = text_format.MessageToString(others)

    with_entry(others, entry(3, stable=3))

    assert text_format.MessageToString(others) == before


@given(st.sets(VERSIONS), VERSIONS, st.one_of(st.none(), VERSIONS))
def test_offering_loads_one_more_and_leaves_the_label_where_users_are(
    versions: set[int], version: int, served: int | None
):
    offered = entry(*sorted(versions), stable=99).offering(version, "stable", served)

    assert set(offered.versions) == versions | {version} | ({served} if served else set())
    assert offered.labels == ({"stable": served} if served else {})


@given(st.sets(VERSIONS), VERSIONS, st.one_of(st.none(), VERSIONS), VERSIONS)
def test_promoting_keeps_the_previous_version_and_what_other_labels_name(
    versions: set[int], version: int, previous: int | None, canary: int
):
    promoted = entry(*sorted(versions), canary=canary).promoted(version, "stable", previous)

    assert promoted.labels == {"canary": canary, "stable": version}
    assert set(promoted.versions) == {version, canary} | ({previous} if previous else set())


def test_a_version_that_is_taken_back_leaves_the_rest(others: ModelServerConfig):
    assert entry(3, 4, stable=3).without(4, "stable", 3) == entry(3, stable=3)


@given(st.sets(VERSIONS), VERSIONS, st.one_of(st.none(), VERSIONS), VERSIONS, VERSIONS)
def test_taking_a_version_back_leaves_every_label_on_a_version_that_is_listed(
    versions: set[int], version: int, served: int | None, ahead: int, canary: int
):
    left = entry(*sorted(versions), stable=ahead, canary=canary).without(version, "stable", served)

    assert left.labels.get("stable") == served
    assert set(left.labels.values()) <= set(left.versions)
    assert version not in left.versions or version in left.labels.values()


def test_a_model_with_no_version_is_not_listed(others: ModelServerConfig):
    assert with_entry(others, entry(3).without(3, "stable", None)) == others


def test_a_list_without_models_is_still_a_list(tmp_path: Path):
    path = tmp_path / "models.config"
    write_config(path, with_entry(read_config(path), entry()))

    assert read_config(path).WhichOneof("config") == "model_config_list"


def test_a_file_that_is_no_config_is_named(tmp_path: Path):
    path = tmp_path / "models.config"
    path.write_text("models: [clicks]")

    with pytest.raises(Misconfigured, match=r"models.config is not a ModelServerConfig"):
        read_config(path)


def test_a_model_in_another_directory_is_a_misconfiguration(others: ModelServerConfig):
    with pytest.raises(Misconfigured, match=r"/models/ads; expected /elsewhere/ads"):
        read_entry(others, "ads", "/elsewhere/ads")
