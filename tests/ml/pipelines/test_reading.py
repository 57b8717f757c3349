from __future__ import annotations

from pathlib import Path

import pytest

from ml.pipelines import load_pipeline, load_valid_pipelines, pipeline_names
from tests.ml.pipelines.complaints import complaint, edit


def test_the_pipelines_of_the_repository_are_valid() -> None:
    assert [load_pipeline(name).name for name in pipeline_names()] == ["clicks"]


def test_a_second_folder_is_a_second_pipeline(folder: Path) -> None:
    assert pipeline_names() == ["clicks", "views"]
    assert load_pipeline("views").folder == folder


def test_an_unknown_pipeline_lists_those_that_there_are() -> None:
    assert "expected one of clicks" in complaint("cliks")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "min_gain: 0.002",
            "min_gian: 0.002",
            ["gate.min_gian", "no such key", "gate.min_gain", "found none"],
        ),
        ("settle_minutes: 120", "settle_minutes: soon", ["landing.settle_minutes", "integer", "'soon'"]),
        (
            "holdout_fraction: 0.2",
            "holdout_fraction: 1.5",
            ["training.holdout_fraction", "less than 1", "1.5"],
        ),
        ("    device: 0.05\n", "", ["drift.thresholds.device", "expected a threshold", "drift.ignored"]),
        ("label: clicked", "label: bought", ["label", "'bought'", "schema.pbtxt"]),
        ("time_zone: UTC", "time_zone: Mars/Olympus", ["landing.time_zone", "Europe/Berlin", "Mars/Olympus"]),
        ("user_type: [new]", "user_kind: [new]", ["slices", "'user_kind'"]),
        ("price: {scale: log}", "brand: {scale: log}", ["['brand'] in both"]),
        ("vocabulary: 64, embedding: 8", "embedding: 8", ["exactly one of vocabulary and hash_buckets"]),
        (
            "wide: [user_id,",
            "wide: [visitor,",
            ["['visitor']", "neither under categorical nor under numeric"],
        ),
        ("model: clicks", "model: Clicks!", ["serving.model", "'Clicks!'"]),
        ("workers: 1", "workers: 3", ["training: expected batch_size", "256 examples for 3 workers"]),
        (
            "calibration_low: 0.8",
            "calibration_low: 1.25",
            ["gate.floors: expected calibration_low to be below", "1.25 and 1.25"],
        ),
    ],
)
def test_a_wrong_setting_names_file_key_expected_and_found(
    folder: Path, old: str, new: str, expected: list[str]
) -> None:
    edit(folder, old, new)

    message = complaint()
    assert str(folder / "pipeline.yaml") in message
    assert [part for part in expected if part not in message] == []


def test_a_schema_that_is_none_says_what_it_should_be(folder: Path) -> None:
    (folder / "schema.pbtxt").write_text("feature { nmae: 'x' }")

    assert "tensorflow.metadata.v0.Schema" in complaint()


def test_a_missing_schema_says_how_to_propose_one(folder: Path) -> None:
    (folder / "schema.pbtxt").unlink()

    assert "schema infer" in complaint()


def test_yaml_that_is_none_says_so(folder: Path) -> None:
    (folder / "pipeline.yaml").write_text("landing: [")

    assert "could not be read as YAML" in complaint()


@pytest.mark.parametrize(
    "content", [b"owner: J\xfcrgen", b"owner: 2026-02-30", b"3: three"], ids=["Latin-1", "a date", "a key"]
)
def test_a_file_that_cannot_be_read_takes_no_other_pipeline_away(folder: Path, content: bytes) -> None:
    (folder / "pipeline.yaml").write_bytes(content)

    assert str(folder / "pipeline.yaml") in complaint()
    assert [pipeline.name for pipeline in load_valid_pipelines()] == ["clicks"]


def test_a_schema_that_is_no_text_takes_no_other_pipeline_away(folder: Path) -> None:
    (folder / "schema.pbtxt").write_bytes(b'feature { name: "J\xfcrgen" }')

    assert "tensorflow.metadata.v0.Schema" in complaint()
    assert [pipeline.name for pipeline in load_valid_pipelines()] == ["clicks"]


def test_an_override_that_is_no_yaml_names_its_variable_and_takes_no_other_pipeline_away(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_VIEWS__TRAINING__HIDDEN_UNITS", "[64, 32")

    assert "variable RETRAIN_VIEWS__TRAINING__HIDDEN_UNITS could not be read as YAML" in complaint()
    assert [pipeline.name for pipeline in load_valid_pipelines()] == ["clicks"]


def test_the_environment_overrides_every_pipeline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAIN_TRAINING__WORKERS", "2")

    assert [load_pipeline(name).training.workers for name in pipeline_names()] == [2, 2]


def test_the_environment_overrides_one_pipeline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAIN_VIEWS__TRAINING__WORKERS", "2")

    assert [load_pipeline(name).training.workers for name in pipeline_names()] == [1, 2]


def test_the_override_of_one_pipeline_is_stronger(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAIN_CLICKS__TRAINING__WORKERS", "8")
    monkeypatch.setenv("RETRAIN_TRAINING__WORKERS", "2")
    monkeypatch.setenv("RETRAIN_VIEWS__TRAINING__WORKERS", "4")

    assert [load_pipeline(name).training.workers for name in pipeline_names()] == [8, 4]


@pytest.mark.parametrize(("part", "found"), [("WIDE", "0 wide and 14 deep"), ("DEEP", "13 wide and 0 deep")])
def test_a_model_without_one_of_its_parts_is_refused(
    monkeypatch: pytest.MonkeyPatch, part: str, found: str
) -> None:
    monkeypatch.setenv(f"RETRAIN_CLICKS__FEATURES__{part}", "[]")

    assert f"features: expected wide and deep to name a feature each, found {found}" in complaint("clicks")


def test_a_misspelt_override_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAIN_TRANING__WORKERS", "2")

    assert "traning" in complaint("clicks")


def test_settings_without_deduplication_are_those_from_before_there_was_any() -> None:
    assert "deduplicate" not in load_pipeline("clicks").model_dump()["landing"]
