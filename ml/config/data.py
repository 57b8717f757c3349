"""Settings of a day's data: where it comes from, which anomalies stop it, how long it is kept."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field
from tensorflow_metadata.proto.v0 import anomalies_pb2

from ml.config.section import Count, Section

Severity = Literal["stop", "warn"]

# A day without examples is said about no field, so that TFDV has no type for it.
DATA_MISSING = "DATA_MISSING"
ANOMALY_TYPES = (*anomalies_pb2.AnomalyInfo.Type.keys(), DATA_MISSING)


def _known_time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"expected an IANA time zone such as Europe/Berlin, found {name!r}")
    return name


def _known_anomalies(types: dict[str, Severity]) -> dict[str, Severity]:
    for name in types:
        if name not in ANOMALY_TYPES:
            nearest = get_close_matches(name.upper(), ANOMALY_TYPES, n=1, cutoff=0)[0]
            raise ValueError(
                f"expected types of anomalies as TFDV names them, found {name!r}; the nearest is {nearest}"
            )
    return types


class Landing(Section):
    """Where a day's records come from and which of them count.

    Attributes:
        topic: the Kafka topic; every value is one JSON object.
        time_zone: a window is a calendar day in this zone.
        event_time: the field with the event's time, in milliseconds since the epoch.
        settle_minutes: how long after the day's end late events are waited for.
        seek: ``time`` asks the broker for the offsets of a timestamp; ``scan`` reads the topic from
            its beginning, for brokers whose time index cannot be trusted. Part of no identity: both find
            the same records.
        slack_minutes: how far the time that a record was produced may lie from its event time; one that
            was produced longer before the window is none of it. The scanned range is the window, and the
            wait for late events, widened by it on both sides, and further for records that were held back.
        max_reject_fraction: a larger share of unreadable records stops the run.
        deduplicate: a string or int field by which repeats are dropped: of the window's records with the
            same value the first by partition and offset is kept. By default none are.
        connection: the Airflow Connection of type Kafka.
    """

    topic: str
    time_zone: Annotated[str, AfterValidator(_known_time_zone)]
    event_time: str
    settle_minutes: Annotated[int, Field(ge=0)]
    seek: Literal["time", "scan"] = Field("time", exclude=True)
    slack_minutes: Annotated[int, Field(ge=0)] = 120
    max_reject_fraction: Annotated[float, Field(ge=0, le=1)]
    # Left out where it is null, so that it changes nothing about days that were landed before there was one.
    deduplicate: str | None = Field(None, exclude_if=lambda field: field is None)
    connection: str = Field("kafka_default", exclude=True)


class Validation(Section):
    """Which anomalies stop a run.

    Attributes:
        default: the severity of what is not named below.
        types: by TFDV's anomaly type, for example ``ENUM_TYPE_UNEXPECTED_STRING_VALUES``; ``DATA_MISSING``
            is a day without examples.
        features: by feature; stronger than ``types``.
        example_count: how many offending records a finding points to.
    """

    default: Severity = "stop"
    types: Annotated[dict[str, Severity], AfterValidator(_known_anomalies)] = Field(default_factory=dict)
    features: dict[str, Severity] = Field(default_factory=dict)
    example_count: Count = 5


class Snapshots(Section):
    """How long a day can be looked back at.

    Attributes:
        keep_days: for so many days the statistics of each day, and the schema that it was held against,
            are kept, whatever becomes of its examples.
    """

    keep_days: Count = 30


class Housekeeping(Section):
    """How long the store keeps what nothing in service was made from; see docs/operations.md.

    Days are counted from the end of an artifact's day, or from when a run last made or used it, whichever
    is later. What is kept keeps what it was made from: a day stays as long as a model that learned from it.

    Attributes:
        examples_days: landed days. The topic has lost them long before, so nothing brings them back.
        models_days: models, and the reports and verdicts of their nights.
        what_if_days: all that a what-if has made.
    """

    examples_days: Count = 90
    models_days: Count = 30
    what_if_days: Count = 30
