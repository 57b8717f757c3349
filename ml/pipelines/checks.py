"""Holding a pipeline's settings against its reviewed schema.

What one of the two files cannot know alone would otherwise be found out by a step, hours into the night,
or by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ml.config import Pipeline
from ml.schema import ColumnType, Schema, value_list

Lines = Iterator[str]
KEYS: tuple[ColumnType, ...] = ("string", "int")
NUMBERS: tuple[ColumnType, ...] = ("int", "float")
VALUES: dict[ColumnType, tuple[type, ...]] = {"string": (str,), "int": (int,), "float": (int, float)}


def find_contradictions(pipeline: Pipeline) -> list[str]:
    """One line for each setting that the schema contradicts: its key, what was expected, what was found.

    Raises:
        Misconfigured: if the schema is missing or is not a schema.
    """
    schema = pipeline.read_schema()
    return [f"  {line}" for check in CHECKS for line in check(pipeline, schema)]


def _unknown_fields(pipeline: Pipeline, schema: Schema) -> Lines:
    for key, name in _mentions(pipeline):
        if name not in schema.columns:
            yield (
                f"{key}: expected a feature of schema.pbtxt, found {name!r}. The schema has: "
                f"{', '.join(schema.columns)}."
            )


def _wrong_types(pipeline: Pipeline, schema: Schema) -> Lines:
    for key, name, expected in _typed_fields(pipeline):
        found = schema.columns.get(name)
        if found and found not in expected:
            yield (
                f"{key}: expected a field of type {' or '.join(expected)} in schema.pbtxt, found {name!r} of "
                f"type {found}. Name another field, or correct its type."
            )


def _features_that_no_request_has(pipeline: Pipeline, schema: Schema) -> Lines:
    """A model that learns from what follows the request looks perfect until it is asked."""
    reasons = {
        **dict.fromkeys(schema.unserved, 'which has not_in_environment: "SERVING" in schema.pbtxt'),
        pipeline.label: "which is the label",
    }
    for key, name in _features(pipeline):
        if name in reasons:
            yield (
                f"{key}: expected what a request to the model server has, found {name!r}, {reasons[name]}. "
                "The model would learn from what nobody knows when it is asked. Take it out."
            )


def _the_time_as_a_feature(pipeline: Pipeline, _schema: Schema) -> Lines:
    for key, name in _features(pipeline):
        if name == pipeline.landing.event_time:
            yield (
                f"{key}: expected no {name!r}, which is landing.event_time. A model is asked about times "
                "later than all that it has learned from. Log the hour or the weekday as fields of their own."
            )


def _features_without_threshold(pipeline: Pipeline, _schema: Schema) -> Lines:
    for name in pipeline.features.names:
        if name not in pipeline.drift.thresholds and name not in pipeline.drift.ignored:
            yield (
                f"drift.thresholds.{name}: expected a threshold in bits, found none. Add it, or name the "
                "feature in drift.ignored."
            )


def _thresholds_on_uncounted_text(pipeline: Pipeline, schema: Schema) -> Lines:
    """Drift compares how often a text has which value, and of these nobody knows."""
    counted = schema.counted_fields(pipeline.features.categorical)
    for name in pipeline.drift.thresholds:
        if schema.columns.get(name) == "string" and name not in counted:
            yield (
                f"drift.thresholds.{name}: expected a number, or text whose values are counted, found text "
                "whose values are not. Make it a categorical feature, list its values in schema.pbtxt, or "
                "take its threshold away."
            )


def _realised_inputs_that_are_no_features(pipeline: Pipeline, _schema: Schema) -> Lines:
    canary = pipeline.serving.canary
    inputs = canary.realised.inputs if canary and canary.realised else ()
    for name in sorted({*inputs} - {*pipeline.features.names}):
        yield f"serving.canary.realised.inputs: expected a feature, which requests have, found {name!r}."


def _slices_that_no_row_is_in(pipeline: Pipeline, schema: Schema) -> Lines:
    """An empty slice has too few rows to vote, and so protects nobody."""
    for slice_ in pipeline.slices:
        for name, accepted in slice_.where.items():
            key = f"slices.{slice_.name}.where.{name}"
            yield from (f"{key}: {wrong}" for value in accepted for wrong in _foreign(value, name, schema))


def _slices_that_are_named_twice(pipeline: Pipeline, _schema: Schema) -> Lines:
    names = [(slice_.by, slice_.name) for slice_ in pipeline.slices]
    for by, name in dict.fromkeys(names):
        if names.count((by, name)) > 1:
            yield f"slices: expected {(by or name)!r} once, found it more than once. Rename or remove one."


CHECKS: tuple[Callable[[Pipeline, Schema], Lines], ...] = (
    _unknown_fields,
    _wrong_types,
    _features_that_no_request_has,
    _the_time_as_a_feature,
    _features_without_threshold,
    _thresholds_on_uncounted_text,
    _realised_inputs_that_are_no_features,
    _slices_that_no_row_is_in,
    _slices_that_are_named_twice,
)


def _foreign(value: str | int | float, name: str, schema: Schema) -> Lines:
    """Why no row of the field has this value, if the schema says so."""
    kind, listed = schema.columns.get(name), value_list(schema.proto, name)
    if kind and not isinstance(value, VALUES[kind]):
        yield f"expected values of type {kind}, as in schema.pbtxt, found {value!r}. Correct it."
    elif listed and value not in listed:
        yield (
            f"expected values that schema.pbtxt lists ({', '.join(listed)}), found {value!r}. Correct it, or "
            "add it to the list."
        )


def _mentions(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Keys and the fields that they name, each of which the schema must have."""
    yield from ((key, name) for key, name, _ in _typed_fields(pipeline))
    yield from (("drift.thresholds", name) for name in pipeline.drift.thresholds)
    yield from (("drift.ignored", name) for name in pipeline.drift.ignored)
    yield from (("validation.features", name) for name in pipeline.validation.features)
    for slice_ in pipeline.slices:
        yield from (("slices", name) for name in ([slice_.by] if slice_.by else slice_.where))


def _typed_fields(pipeline: Pipeline) -> Iterator[tuple[str, str, tuple[ColumnType, ...]]]:
    """Keys, the fields that they name, and the types that such a field may have."""
    landing, canary = pipeline.landing, pipeline.serving.canary
    yield "label", pipeline.label, NUMBERS
    yield "landing.event_time", landing.event_time, ("int",)
    if landing.deduplicate:
        yield "landing.deduplicate", landing.deduplicate, KEYS
    # A float is spelt in too many ways to find an event by it.
    for name in canary.realised.key if canary and canary.realised else ():
        yield "serving.canary.realised", name, KEYS
    yield from (("features.categorical", name, KEYS) for name in pipeline.features.categorical)
    yield from (("features.numeric", name, NUMBERS) for name in pipeline.features.numeric)


def _features(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    yield from (("features.categorical", name) for name in pipeline.features.categorical)
    yield from (("features.numeric", name) for name in pipeline.features.numeric)
