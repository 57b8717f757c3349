from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from ml.config import Pipeline
from ml.schema import Schema, value_list
from ml.validation import diff_schema, infer_schema

from .days import clicks, land, with_column


def test_a_proposal_has_the_reviewed_schemas_fields_and_types(tmp_path: Path, pipeline: Pipeline) -> None:
    proposal = infer_schema(pipeline, land(tmp_path / "day", clicks(1000)))

    schema = Schema.of(text_format.Parse(proposal, schema_pb2.Schema()))
    assert schema.columns == pipeline.read_schema().columns
    assert sorted(value_list(schema.proto, "device")) == ["desktop", "mobile", "tablet"]


def test_a_proposal_knows_that_the_label_is_not_served(tmp_path: Path, pipeline: Pipeline) -> None:
    proposal = infer_schema(pipeline, land(tmp_path / "day", clicks(1000)))

    schema = text_format.Parse(proposal, schema_pb2.Schema())
    absent = {feature.name for feature in schema.feature if "SERVING" in feature.not_in_environment}
    assert absent == {"clicked"}
    assert list(schema.default_environment) == ["TRAINING", "SERVING"]


def test_a_day_that_keeps_to_the_schema_differs_in_nothing(tmp_path: Path, pipeline: Pipeline) -> None:
    assert diff_schema(pipeline, land(tmp_path / "day", clicks(1000))) == []


def test_differences_are_said_in_words(tmp_path: Path, pipeline: Pipeline) -> None:
    table = with_column(clicks(1000), "device", ["watch"] * 10 + ["mobile"] * 990)
    table = with_column(table, "quantity", np.full(1000, 5000))
    table = with_column(table, "user_id", [None] * 100 + ["u"] * 900)
    table = table.drop(["position"]).append_column("campaign", pa.array(["summer"] * 1000))

    gone = "no example has a value of the schema's type; if the field is gone, take it out of the schema"
    assert diff_schema(pipeline, land(tmp_path / "day", table)) == [
        "user_id: 90 % of the examples have it; the schema asks for 100 %",
        "device: the examples also have the values watch, which the schema does not list",
        "quantity: the greatest value is 5000; the schema allows 1000",
        f"position: {gone}",
        "campaign: the examples have this field (BYTES), and the schema does not name it",
    ]
