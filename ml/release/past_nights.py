"""What the store tells of the last nights: verdicts, publications, drift. No server is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile
from typing import Any

from ml.config import Pipeline
from ml.manifest import Manifest
from ml.store import PARTIAL, Store


@dataclass(frozen=True)
class JudgedNight:
    """A day and the last verdict on it.

    Attributes:
        day: the calendar day in the pipeline's time zone, ISO 8601.
        verdict: the gate's.
        published: whether the gate let it through.
    """

    day: str
    verdict: str
    published: bool


def judged_nights(pipeline: Pipeline, store: Store, most: int) -> list[JudgedNight]:
    """The last nights that the gate judged, newest day first; of a day judged twice, the last verdict."""
    nights: dict[str, tuple[str, JudgedNight]] = {}
    for manifest in _made(pipeline, store, "blessing"):
        day = pipeline.name_of(manifest.identity.window)
        if day not in nights and len(nights) == most:
            break
        if day not in nights or manifest.created_at > nights[day][0]:
            content = store.read_json(manifest.artifact)
            night = JudgedNight(day, content["verdict"], content["publish"])
            nights[day] = (manifest.created_at, night)
    return [night for _, night in nights.values()]


def blocked_nights(nights: list[JudgedNight]) -> int:
    """How many of the newest nights in a row the gate did not let through."""
    return sum(1 for _ in takewhile(lambda night: not night.published, nights))


def last_publication(pipeline: Pipeline, store: Store) -> datetime | None:
    """When a version was last published; None if none ever was."""
    moments = [manifest.created_at for manifest in _made(pipeline, store, "pushed_model")]
    return datetime.fromisoformat(max(moments)) if moments else None


def last_drift(pipeline: Pipeline, store: Store) -> list[dict[str, Any]]:
    """The features of the newest day's drift report, as `ml.validation.drift_report` describes them."""
    for manifest in islice(_made(pipeline, store, "drift_report"), 1):
        features: list[dict[str, Any]] = store.read_json(manifest.artifact)["features"]
        return features
    return []


def _made(pipeline: Pipeline, store: Store, kind: str) -> Iterator[Manifest]:
    """Of every artifact of a kind, newest day first."""
    directories = (store.root / pipeline.name / kind).glob("*")
    for directory in sorted(directories, key=lambda path: path.name, reverse=True):
        if directory.suffix != PARTIAL and (manifest := Manifest.find(directory)):
            yield manifest
