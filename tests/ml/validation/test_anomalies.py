from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ml.artifact import Artifact
from ml.config import Pipeline
from ml.errors import AnomaliesFound, Misconfigured
from ml.store import Draft
from ml.validation import check_examples, compute_statistics, validate_examples

from .days import clicks, land, with_column

EVIDENCE = Artifact(kind="anomalies", uri="store:clicks/anomalies/2026-03-10-0", digest="0")
Validate = Callable[..., dict[str, Any]]


@pytest.fixture
def validate(tmp_path: Path, pipeline: Pipeline, draft: Callable[..., Draft]) -> Validate:
    """Lands a table, holds it against the schema and reads the anomalies."""

    def run(
        table: pa.Table, settings: Pipeline = pipeline, unknown_fields: dict[str, int] | None = None
    ) -> dict[str, Any]:
        examples = land(tmp_path / "examples", table, parts=2)
        statistics, anomalies = draft("statistics"), draft("anomalies")
        compute_statistics(settings, examples, statistics)
        validate_examples(settings, statistics.path, examples, unknown_fields or {}, anomalies)
        content: dict[str, Any] = json.loads((anomalies.path / "anomalies.json").read_text())
        return {**content, "facts": anomalies.facts, "path": anomalies.path}

    return run


@pytest.fixture
def reviewed(tmp_path: Path, pipeline: Pipeline) -> Callable[[str, str], Pipeline]:
    """The clicks pipeline with one passage of its schema replaced."""

    def replace(passage: str, by: str) -> Pipeline:
        text = pipeline.schema_path.read_text()
        assert passage in text
        folder = tmp_path / "pipeline"
        folder.mkdir()
        (folder / "schema.pbtxt").write_text(text.replace(passage, by))
        return pipeline.model_copy(update={"folder": folder})

    return replace


def test_a_day_that_keeps_to_the_schema_has_no_findings(validate: Validate) -> None:
    anomalies = validate(clicks(500))

    assert (anomalies["stop"], anomalies["findings"]) == (False, [])
    assert anomalies["facts"] == {"stop": False, "findings": 0}
    check_examples(anomalies, EVIDENCE)


def test_a_field_that_the_schema_does_not_know_is_a_warning_with_its_count(validate: Validate) -> None:
    anomalies = validate(clicks(500), unknown_fields={"coupon": 12})

    [finding] = anomalies["findings"]
    assert (finding["feature"], finding["type"], finding["severity"]) == (
        "coupon",
        "SCHEMA_NEW_COLUMN",
        "warn",
    )
    assert finding["description"] == "12 of 500 examples have this field, which the schema does not know"
    assert anomalies["stop"] is False


def test_a_number_out_of_range_is_named_with_counts_and_offsets(validate: Validate) -> None:
    quantities = np.ones(500, np.int64)
    quantities[[3, 400, 401]] = -1

    anomalies = validate(with_column(clicks(500), "quantity", quantities))

    [finding] = anomalies["findings"]
    assert finding == {
        "feature": "quantity",
        "type": "INT_TYPE_SMALL_INT",
        "severity": "stop",
        "environments": ["TRAINING", "SERVING"],
        "description": "3 of 500 examples are below 1, the least that the schema allows: -1 (3)",
        "count": 3,
        "examples": [
            {"partition": 0, "offset": 1001, "value": -1},
            {"partition": 1, "offset": 1133, "value": -1},
            {"partition": 2, "offset": 1133, "value": -1},
        ],
    }


@pytest.mark.parametrize("immense", [1e39, -1e39, 1e150])
def test_a_number_that_no_model_can_take_stops_the_day_whatever_the_settings_say(
    validate: Validate, changed: Callable[..., Pipeline], immense: float
) -> None:
    settings = changed("validation", default="warn", features={"item_ctr": "warn", "price": "warn"})
    table = clicks(500)
    prices = np.array(table["price"])
    prices[7] = immense

    anomalies = validate(with_column(table, "price", prices), settings)

    [finding] = [each for each in anomalies["findings"] if each["type"] == "BEYOND_FLOAT32"]
    assert (anomalies["stop"], finding["feature"], finding["severity"]) == (True, "price", "stop")
    assert finding["description"].startswith("1 of 500 examples are further from 0 than 3.4e+38, the most")
    assert finding["examples"] == [{"partition": 1, "offset": 1002, "value": immense}]


def test_the_greatest_number_that_a_model_can_take_is_none_to_stop_for(validate: Validate) -> None:
    table = clicks(500)
    prices = np.array(table["price"])
    prices[7] = np.finfo(np.float32).max

    assert validate(with_column(table, "price", prices))["findings"] == []


def test_a_missing_required_value_is_said_once(validate: Validate) -> None:
    users = [None if at == 7 else f"u{at}" for at in range(500)]

    [finding] = validate(with_column(clicks(500), "user_id", users))["findings"]

    assert finding["type"] == "FEATURE_TYPE_LOW_FRACTION_PRESENT"
    assert finding["description"] == "1 of 500 examples have no value, and 100 % must have one"
    assert finding["examples"] == [{"partition": 1, "offset": 1002, "value": None}]


def test_a_value_that_the_schema_does_not_list_only_warns_if_so_configured(validate: Validate) -> None:
    devices = ["watch"] * 30 + ["mobile"] * 470

    anomalies = validate(with_column(clicks(500), "device", devices))

    [finding] = anomalies["findings"]
    assert finding["severity"] == "warn"
    assert (
        finding["description"] == "30 of 500 examples have values that the schema does not list: watch (30)"
    )
    assert len(finding["examples"]) == 5
    assert not anomalies["stop"]


def test_a_single_unlisted_value_among_thousands_is_found(validate: Validate) -> None:
    devices = [f"junk{at}" for at in range(1999)] + ["mobile"]

    [finding] = validate(with_column(clicks(2000), "device", devices))["findings"]

    assert finding["count"] == 1999


def test_the_severity_of_a_feature_is_stronger_than_that_of_a_type(
    validate: Validate, changed: Callable[..., Pipeline]
) -> None:
    settings = changed("validation", features={"device": "stop", "quantity": "warn"})
    table = with_column(clicks(500), "device", ["watch"] * 500)
    table = with_column(table, "quantity", np.zeros(500, np.int64))

    found = validate(table, settings)["findings"]

    assert [(finding["feature"], finding["severity"]) for finding in found] == [
        ("device", "stop"),
        ("quantity", "warn"),
    ]


def test_a_lost_column_and_a_new_one_are_found(validate: Validate) -> None:
    table = clicks(500).drop(["position"]).append_column("campaign", pa.array(["summer"] * 500))

    found = {finding["feature"]: finding for finding in validate(table)["findings"]}

    assert found["position"]["description"] == "none of the 500 examples has this field"
    assert found["position"]["severity"] == "stop"
    assert found["campaign"]["count"] == 500
    assert found["campaign"]["severity"] == "warn"


def test_a_column_of_another_type_is_found(validate: Validate) -> None:
    [finding] = validate(with_column(clicks(500), "hour", np.full(500, 1.5)))["findings"]

    assert finding["type"] == "UNEXPECTED_DATA_TYPE"
    assert finding["count"] == 500


def test_a_label_that_the_schema_expects_from_the_model_server_is_found(
    validate: Validate, reviewed: Callable[[str, str], Pipeline]
) -> None:
    settings = reviewed('  not_in_environment: "SERVING"\n', "")

    [finding] = validate(clicks(500), settings)["findings"]

    assert (finding["feature"], finding["environments"]) == ("clicked", ["SERVING"])
    assert "not_in_environment" in finding["description"]


def test_a_missing_label_is_found_in_training_only(validate: Validate) -> None:
    labels = [None if at < 5 else 0 for at in range(500)]

    [finding] = validate(with_column(clicks(500), "clicked", labels))["findings"]

    assert (finding["feature"], finding["environments"], finding["count"]) == ("clicked", ["TRAINING"], 5)


def test_a_schema_without_environments_is_refused(
    validate: Validate, reviewed: Callable[[str, str], Pipeline]
) -> None:
    settings = reviewed('default_environment: "SERVING"\n', "")

    with pytest.raises(Misconfigured, match='Add default_environment: "SERVING"'):
        validate(clicks(100), settings)


def test_tfdvs_own_findings_are_kept(validate: Validate) -> None:
    path = validate(with_column(clicks(500), "quantity", np.zeros(500, np.int64)))["path"]

    assert "INT_TYPE_SMALL_INT" in (path / "anomalies.pbtxt").read_text()
    assert "INT_TYPE_SMALL_INT" in (path / "anomalies_serving.pbtxt").read_text()


def test_the_error_says_what_to_look_at_and_what_to_do(validate: Validate) -> None:
    anomalies = validate(with_column(clicks(500), "quantity", np.zeros(500, np.int64)))

    with pytest.raises(AnomaliesFound) as raised:
        check_examples(anomalies, EVIDENCE)

    assert "quantity: 500 of 500 examples are below 1" in str(raised.value)
    assert "partition 0, offset 1000" in str(raised.value)
    assert "schema diff" in str(raised.value)
    assert raised.value.evidence == EVIDENCE
