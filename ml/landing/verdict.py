"""Whether a landed day may go on. Landing measures; this judges what it wrote down."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ml.artifact import Artifact
from ml.config import Pipeline
from ml.errors import NoRecords, TooManyRejects, WindowExpired


def check_landed(pipeline: Pipeline, known: Mapping[str, Any], examples: Artifact | None = None) -> None:
    """Judge the counts of a landed window.

    Args:
        pipeline: the settings.
        known: facts and measurements of the examples, as `ml.landing.tally.Tally` counts them.
        examples: the artifact, kept as evidence.

    Raises:
        TooManyRejects: if more than ``landing.max_reject_fraction`` of the window's records are rejects.
        NoRecords: if the window has no example.
    """
    rejected = sum(known["rejected"].values())
    records = rejected + known["accepted"]
    if rejected and rejected / records > pipeline.landing.max_reject_fraction:
        raise TooManyRejects(_rejects_message(pipeline, known, rejected, records), examples)
    if not known["accepted"]:
        raise NoRecords(_empty_message(pipeline, known), examples)


def check_refreshed(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Stop if a window that was landed anew holds less than it did: a refreshment can only add.

    Args:
        before: facts of the examples that the day had.
        after: facts of those that it would have.

    Raises:
        WindowExpired: if there are fewer.
    """
    if after["accepted"] < before["accepted"]:
        raise WindowExpired(
            f"The topic now holds {after['accepted']} examples of the window; expected at least the "
            f"{before['accepted']} that were landed from it before. It has lost some since, or was made "
            "anew. The day stays as it was landed. To have the smaller one instead, give --accept-gap REASON "
            "too (in Airflow the parameter accept_gap)."
        )


def _rejects_message(pipeline: Pipeline, known: Mapping[str, Any], rejected: int, records: int) -> str:
    reasons = "\n".join(
        f"  {count} {reason}, first at {_place(known, reason)}" for reason, count in _by_count(known)
    )
    return (
        f"{rejected} of {records} records of the window could not be read as examples "
        f"({rejected / records:.2%}); expected at most {pipeline.landing.max_reject_fraction:.2%} "
        f"(landing.max_reject_fraction):\n{reasons}\n"
        "Their bytes are in rejects.parquet of the examples. Have the producer mended, or raise the limit."
    )


def _empty_message(pipeline: Pipeline, known: Mapping[str, Any]) -> str:
    return (
        f"The window has no example in the topic {pipeline.landing.topic!r}; expected some. Of "
        f"{known['scanned']} records around it {known['outside']} are outside and {known['late']} late"
        f"{_span(pipeline, known)}. Check that producers ran on that day and that landing.topic and "
        "landing.event_time are the right ones."
    )


def _span(pipeline: Pipeline, known: Mapping[str, Any]) -> str:
    first, last = known["first_scanned_event"], known["last_scanned_event"]
    if first is None:
        return ""
    return f"; {pipeline.landing.event_time} runs from {_moment(first)} to {_moment(last)}"


def _moment(milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).isoformat(timespec="seconds")
    except (OverflowError, ValueError):
        return f"{milliseconds} (no date if taken for milliseconds since the epoch)"


def _by_count(known: Mapping[str, Any]) -> list[tuple[str, int]]:
    return sorted(known["rejected"].items(), key=lambda item: (-item[1], item[0]))


def _place(known: Mapping[str, Any], reason: str) -> str:
    place = known["reject_examples"][reason]
    return f"partition {place['partition']}, offset {place['offset']}"
