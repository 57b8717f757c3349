"""Proposing a schema from a landed day, for a person to review."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from ml.config import Pipeline
from ml.schema import SERVING, value_list
from ml.validation.anomalies import TRAINING
from ml.validation.rules import bounds_of
from ml.validation.statistics import describe_examples
from ml.validation.words import percent

LONGEST_VALUE_LIST = 100


def infer_schema(pipeline: Pipeline, examples: Path) -> str:
    """Propose a schema as a text proto.

    Args:
        pipeline: the settings; the label is marked as absent where the model is served.
        examples: the directory of a landed day.
    """
    from ml.validation import tfdv

    description = describe_examples(pipeline, examples)
    schema = tfdv.infer_schema(description.statistics, max_string_domain_size=LONGEST_VALUE_LIST)
    schema.default_environment[:] = [TRAINING, SERVING]
    for feature in schema.feature:
        if feature.name == pipeline.label:
            feature.not_in_environment[:] = [SERVING]
    headline = (
        f"# Proposed from {description.rows:,} examples of {pipeline.name}. Review every line: what one day "
        "holds is not what is allowed.\n"
    )
    return headline + str(text_format.MessageToString(schema))


def diff_schema(pipeline: Pipeline, examples: Path) -> list[str]:
    """Say what the reviewed schema would have to allow for a landed day to keep to it.

    Returns:
        A sentence for each difference; none if the day keeps to the schema.
    """
    from ml.validation import tfdv

    reviewed = pipeline.read_schema().proto
    proposed = tfdv.update_schema(reviewed, describe_examples(pipeline, examples).statistics)
    known = {feature.name: feature for feature in reviewed.feature}
    return [
        f"{feature.name}: {sentence}"
        for feature in proposed.feature
        for sentence in _differences(feature, known.get(feature.name), proposed, reviewed)
    ]


def _differences(
    proposed: schema_pb2.Feature,
    reviewed: schema_pb2.Feature | None,
    proposal: schema_pb2.Schema,
    review: schema_pb2.Schema,
) -> Iterator[str]:
    if reviewed is None:
        kind = schema_pb2.FeatureType.Name(proposed.type)
        yield f"the examples have this field ({kind}), and the schema does not name it"
        return
    if proposed.lifecycle_stage != reviewed.lifecycle_stage:
        yield "no example has a value of the schema's type; if the field is gone, take it out of the schema"
    yield from _presence(proposed.presence.min_fraction, reviewed.presence.min_fraction)
    yield from _bounds(bounds_of(proposed), bounds_of(reviewed))
    yield from _values(value_list(proposal, proposed.name), value_list(review, proposed.name))


def _presence(found: float, demanded: float) -> Iterator[str]:
    if found != demanded:
        yield f"{percent(found)} of the examples have it; the schema asks for {percent(demanded)}"


def _bounds(found: tuple[float, float], allowed: tuple[float, float]) -> Iterator[str]:
    if found[0] < allowed[0]:
        yield f"the least value is {found[0]:g}; the schema allows {allowed[0]:g}"
    if found[1] > allowed[1]:
        yield f"the greatest value is {found[1]:g}; the schema allows {allowed[1]:g}"


def _values(found: list[str], allowed: list[str]) -> Iterator[str]:
    if more := sorted(set(found) - set(allowed)):
        yield f"the examples also have the values {', '.join(more)}, which the schema does not list"
