"""TFDV's anomaly types as rules that single records break."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from ml.config import Pipeline
from ml.schema import value_list
from ml.validation.words import percent

MISSING_TYPES = {
    "FEATURE_TYPE_LOW_FRACTION_PRESENT",
    "FEATURE_TYPE_LOW_NUMBER_PRESENT",
    "FEATURE_TYPE_NOT_PRESENT",
    "FEATURE_TYPE_NO_VALUES",
    "INVALID_FEATURE_SHAPE",
}
SMALL_TYPES = {"INT_TYPE_SMALL_INT", "FLOAT_TYPE_SMALL_FLOAT", "BOOL_TYPE_SMALL_INT"}
BIG_TYPES = {"INT_TYPE_BIG_INT", "FLOAT_TYPE_BIG_FLOAT", "BOOL_TYPE_BIG_INT"}
# Not TFDV's: JSON and Parquet hold doubles, a model takes single precision.
BEYOND_FLOAT32 = "BEYOND_FLOAT32"
GREATEST_FLOAT32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Rule:
    """What is wrong with a record.

    Attributes:
        breaks: says of each value of a column whether it breaks the rule; null counts as no.
        words: continues "12 of 20,000 examples …".
        shows_values: whether the offending values tell something.
    """

    breaks: Callable[[pa.Array], pa.Array]
    words: str
    shows_values: bool = True


@dataclass(frozen=True)
class Anomaly:
    """What TFDV found.

    Attributes:
        feature: the field.
        type: the name in TFDV's ``AnomalyInfo.Type``, or `BEYOND_FLOAT32`.
        sentence: TFDV's own description.
    """

    feature: str
    type: str
    sentence: str


NOT_FINITE = Rule(lambda values: pc.invert(pc.is_finite(values)), "are not finite numbers")
RULES = {
    "SCHEMA_NEW_COLUMN": Rule(pc.is_valid, "have this field, which the schema does not name", False),
    "UNEXPECTED_DATA_TYPE": Rule(pc.is_valid, "have values of another type than the schema's"),
    "FLOAT_TYPE_HAS_NAN": NOT_FINITE,
    "FLOAT_TYPE_HAS_INF": NOT_FINITE,
    BEYOND_FLOAT32: Rule(
        lambda values: pc.greater(pc.abs(values), GREATEST_FLOAT32),
        f"are further from 0 than {GREATEST_FLOAT32:.1e}, the most that a model's number (float32) can be",
    ),
}


def rule_of(anomaly: Anomaly, schema: schema_pb2.Schema) -> Rule | None:
    """The rule that an anomaly is about, or None if it is about no single record."""
    feature = next((part for part in schema.feature if part.name == anomaly.feature), schema_pb2.Feature())
    low, high = bounds_of(feature)
    if anomaly.type in MISSING_TYPES:
        return _has_value(feature.presence.min_fraction)
    if anomaly.type in SMALL_TYPES:
        return Rule(
            lambda values: pc.less(values, low), f"are below {low:g}, the least that the schema allows"
        )
    if anomaly.type in BIG_TYPES:
        return Rule(
            lambda values: pc.greater(values, high), f"are above {high:g}, the most that the schema allows"
        )
    if anomaly.type == "ENUM_TYPE_UNEXPECTED_STRING_VALUES":
        return _is_listed(value_list(schema, anomaly.feature))
    return RULES.get(anomaly.type)


def numbers_beyond_float32(
    pipeline: Pipeline, statistics: statistics_pb2.DatasetFeatureStatisticsList
) -> Iterator[Anomaly]:
    """The numeric features with a value that would be infinite to a model; one of these spoils the mean."""
    for feature in statistics.datasets[0].features:
        name, numbers = feature.path.step[0], feature.num_stats
        if name in pipeline.features.numeric and max(-numbers.min, numbers.max) > GREATEST_FLOAT32:
            yield Anomaly(name, BEYOND_FLOAT32, "it has numbers that a model cannot take")


def bounds_of(feature: schema_pb2.Feature) -> tuple[float, float]:
    """The least and the greatest number that the schema allows; infinite where it sets no bound."""
    if feature.HasField("bool_domain"):
        return 0, 1
    domain = feature.int_domain if feature.HasField("int_domain") else feature.float_domain
    low = domain.min if domain.HasField("min") else -math.inf
    return low, domain.max if domain.HasField("max") else math.inf


def _has_value(share: float) -> Rule:
    return Rule(pc.is_null, f"have no value, and {percent(share)} must have one", shows_values=False)


def _is_listed(values: list[str]) -> Rule:
    allowed = pa.array(values, pa.string())
    return Rule(
        lambda found: pc.and_(pc.is_valid(found), pc.invert(pc.is_in(found, value_set=allowed))),
        "have values that the schema does not list",
    )
