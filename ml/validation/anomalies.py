"""Holding a landed day against the reviewed schema."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from ml.artifact import Artifact
from ml.config import Pipeline, Severity
from ml.config.data import DATA_MISSING
from ml.errors import AnomaliesFound, Misconfigured
from ml.schema import SERVING, Schema
from ml.store import Draft
from ml.validation.examples import field_names
from ml.validation.kept_schema import keep_schema
from ml.validation.offenders import Example, find_offenders
from ml.validation.rules import BEYOND_FLOAT32, Anomaly, numbers_beyond_float32, rule_of
from ml.validation.statistics_file import read_statistics

log = logging.getLogger(__name__)

TRAINING = "TRAINING"
PROTO_FILES = {TRAINING: "anomalies.pbtxt", SERVING: "anomalies_serving.pbtxt"}
WHOLE_DAY = "(the whole day)"
WHAT_TO_DO = (
    "Look at the records named above and mend what writes them, then land the day anew. If the data is "
    "right, review what `python -m ml schema diff` suggests and change schema.pbtxt, or set the severity "
    "under validation in pipeline.yaml."
)


class Finding(TypedDict):
    """One way in which a day breaks the schema.

    Keys:
        feature: the field.
        type: TFDV's name for the anomaly.
        severity: ``stop`` or ``warn``, as the pipeline settles it.
        environments: where the schema is broken: ``TRAINING``, ``SERVING`` or both.
        description: in words, with counts.
        count: how many examples break the schema; None if that is about no single example.
        examples: the first of them.
    """

    feature: str
    type: str
    severity: Severity
    environments: list[str]
    description: str
    count: int | None
    examples: list[Example]


def validate_examples(
    pipeline: Pipeline, statistics: Path, examples: Path, unknown_fields: Mapping[str, int], draft: Draft
) -> None:
    """Write ``anomalies.json`` in words, and TFDV's own findings as text protos beside it with the schema.

    The day is held against the schema twice: as it is, in the environment TRAINING, and without what the
    model server does not receive, in SERVING.

    Args:
        pipeline: the settings; the severities.
        statistics: the day's statistics.
        examples: the landed day, which offending records are looked up in.
        unknown_fields: fields of the records that the schema does not have, and how many records have
            them. Landing counts them and lands only what the schema knows.
        draft: the artifact to fill.

    Raises:
        Misconfigured: if the schema does not name both environments.
    """
    schema = pipeline.read_schema()
    keep_schema(pipeline, draft.path)
    described = read_statistics(statistics)
    found = _broken_in(pipeline, schema, described, draft.path)
    found |= {anomaly: [TRAINING, SERVING] for anomaly in numbers_beyond_float32(pipeline, described)}
    day = _Day(pipeline, schema.proto, examples, int(described.datasets[0].num_examples))
    findings = [day.finding(anomaly, environments) for anomaly, environments in found.items()]
    findings += [day.new_column(field, count) for field, count in unknown_fields.items()]
    findings.sort(key=lambda finding: (finding["severity"], finding["feature"], finding["type"]))
    stop = any(finding["severity"] == "stop" for finding in findings)
    draft.write_json({"stop": stop, "rows": day.rows, "findings": findings})
    draft.facts.update(stop=stop, findings=len(findings))
    for finding in findings:
        log.warning("%s: %s", finding["feature"], finding["description"])
    log.info("held %s examples against the schema: %d findings", f"{day.rows:,}", len(findings))


def check_examples(anomalies: dict[str, Any], evidence: Artifact) -> None:
    """Stop if a finding says so. Measuring comes first, so that the evidence is there.

    Args:
        anomalies: the content of ``anomalies.json``.
        evidence: the artifact that holds it.

    Raises:
        AnomaliesFound: in words.
    """
    if not anomalies["stop"]:
        return
    lines = [
        f"  {finding['feature']}: {finding['description']}{_where(finding['examples'])}"
        for finding in anomalies["findings"]
        if finding["severity"] == "stop"
    ]
    head = f"the {anomalies['rows']:,} examples of the day break the reviewed schema:"
    raise AnomaliesFound("\n".join([head, *lines, WHAT_TO_DO]), evidence)


class _Day:
    """A landed day with the schema that it is held against."""

    def __init__(self, pipeline: Pipeline, schema: schema_pb2.Schema, examples: Path, rows: int) -> None:
        self.rows = rows
        self._validation = pipeline.validation
        self._schema, self._examples = schema, examples
        self._fields = field_names(examples)

    def finding(self, anomaly: Anomaly, environments: list[str]) -> Finding:
        count, description, examples = self._look_up(anomaly)
        return Finding(
            feature=anomaly.feature,
            type=anomaly.type,
            severity=self._severity(anomaly),
            environments=environments,
            description=description,
            count=count,
            examples=examples,
        )

    def new_column(self, field: str, count: int) -> Finding:
        words = f"{count:,} of {self.rows:,} examples have this field, which the schema does not know"
        anomaly = Anomaly(field, "SCHEMA_NEW_COLUMN", words)
        return Finding(
            feature=field,
            type=anomaly.type,
            severity=self._severity(anomaly),
            environments=[TRAINING, SERVING],
            description=words,
            count=count,
            examples=[],
        )

    def _look_up(self, anomaly: Anomaly) -> tuple[int | None, str, list[Example]]:
        if anomaly.type == "SCHEMA_MISSING_COLUMN":
            return self._missing_column(anomaly.feature)
        rule = rule_of(anomaly, self._schema)
        if rule is None or anomaly.feature not in self._fields:
            return None, anomaly.sentence, []
        shown = self._validation.example_count
        offenders = find_offenders(self._examples, anomaly.feature, rule, shown)
        values = ", ".join(f"{value} ({count:,})" for value, count in offenders.values.items())
        words = f"{offenders.count:,} of {self.rows:,} examples {rule.words}"
        return offenders.count, f"{words}: {values}" if values else words, offenders.examples

    def _missing_column(self, field: str) -> tuple[int | None, str, list[Example]]:
        if field not in self._fields:
            return self.rows, f"none of the {self.rows:,} examples has this field", []
        advice = f'add not_in_environment: "{SERVING}" to it in schema.pbtxt'
        return None, f"the model server does not receive this field, but the schema asks for it; {advice}", []

    def _severity(self, anomaly: Anomaly) -> Severity:
        if anomaly.type == BEYOND_FLOAT32:
            return "stop"  # no setting makes it fit to train on
        by_type = self._validation.types.get(anomaly.type, self._validation.default)
        return self._validation.features.get(anomaly.feature, by_type)


def _broken_in(
    pipeline: Pipeline,
    schema: Schema,
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    folder: Path,
) -> dict[Anomaly, list[str]]:
    """What TFDV finds, with the environments that it finds it in; writes its text protos."""
    from ml.validation import tfdv

    _require_environments(pipeline, schema.proto)
    views = {TRAINING: statistics, SERVING: _as_served(pipeline, schema, statistics)}
    found: dict[Anomaly, list[str]] = defaultdict(list)
    for environment, view in views.items():
        proto = tfdv.validate_statistics(view, schema.proto, environment)
        (folder / PROTO_FILES[environment]).write_text(text_format.MessageToString(proto))
        for anomaly in _anomalies_in(proto):
            found[anomaly].append(environment)
    return found


def _as_served(
    pipeline: Pipeline, schema: Schema, statistics: statistics_pb2.DatasetFeatureStatisticsList
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """The statistics without the label and what else the model server does not receive."""
    absent = {*schema.unserved, pipeline.label}
    view = statistics_pb2.DatasetFeatureStatisticsList()
    view.CopyFrom(statistics)
    for dataset in view.datasets:
        kept = [part for part in dataset.features if part.path.step[0] not in absent]
        del dataset.features[:]
        dataset.features.extend(kept)
    return view


def _anomalies_in(proto: anomalies_pb2.Anomalies) -> Iterator[Anomaly]:
    """One for each reason. A shape that is broken by missing values is said once, as missing values."""
    for feature, info in sorted(proto.anomaly_info.items()):
        found = [_anomaly(feature, reason) for reason in info.reason]
        missing = any(anomaly.type.startswith("FEATURE_TYPE_") for anomaly in found)
        yield from (part for part in found if not (missing and part.type == "INVALID_FEATURE_SHAPE"))
    yield from (_anomaly(WHOLE_DAY, reason) for reason in proto.dataset_anomaly_info.reason)
    if proto.data_missing:
        yield Anomaly(WHOLE_DAY, DATA_MISSING, "the day holds no examples")


def _anomaly(feature: str, reason: anomalies_pb2.AnomalyInfo.Reason) -> Anomaly:
    return Anomaly(feature, anomalies_pb2.AnomalyInfo.Type.Name(reason.type), reason.description)


def _require_environments(pipeline: Pipeline, schema: schema_pb2.Schema) -> None:
    if lacking := {TRAINING, SERVING} - set(schema.default_environment):
        raise Misconfigured(
            f"{pipeline.schema_path}: expected default_environment to name {TRAINING} and {SERVING}, found "
            f'{list(schema.default_environment)}. Add default_environment: "{sorted(lacking)[0]}".'
        )


def _where(examples: list[Example]) -> str:
    if not examples:
        return ""
    first = examples[0]
    return f" (the first at partition {first['partition']}, offset {first['offset']})"
