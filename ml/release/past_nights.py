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

STALE = "STALE"


@dataclass(frozen=True)
class JudgedNight:
    """A day and the last verdict on it.

    Attributes:
        day: the calendar day in the pipeline's time zone, ISO 8601.
        verdict: the gate's last.
        published: whether the gate has let a candidate of the day through.
    """

    day: str
    verdict: str
    published: bool


def judged_nights(pipeline: Pipeline, store: Store, most: int) -> list[JudgedNight]:
    """The last nights that the gate judged, newest day first; of a day judged twice, the last verdict.

    A day that was let through once stays published: judging it again, as a backfill does, takes nothing back.
    """
    tries: dict[str, list[Manifest]] = {}
    for manifest in _made(pipeline, store, "blessing"):
        day = pipeline.name_of(manifest.identity.window)
        if day not in tries and len(tries) == most:
            break
        tries.setdefault(day, []).append(manifest)
    return [_night(day, made, store) for day, made in tries.items()]


def blocked_nights(nights: list[JudgedNight]) -> int:
    """How many of the newest nights in a row the gate did not let through.

    One that came when newer data was served already, as most nights of a backfill do, is passed over.
    """
    judged = (night for night in nights if night.published or night.verdict != STALE)
    return sum(1 for _ in takewhile(lambda night: not night.published, judged))


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


def _night(day: str, made: list[Manifest], store: Store) -> JudgedNight:
    in_turn = sorted(made, key=lambda manifest: manifest.created_at)
    blessings = [store.read_json(manifest.artifact) for manifest in in_turn]
    published = any(blessing["publish"] for blessing in blessings)
    return JudgedNight(day, blessings[-1]["verdict"], published)


def _made(pipeline: Pipeline, store: Store, kind: str) -> Iterator[Manifest]:
    """Of every artifact of a kind, newest day first."""
    directories = (store.root / pipeline.name / kind).glob("*")
    for directory in sorted(directories, key=lambda path: path.name, reverse=True):
        if directory.suffix != PARTIAL and (manifest := Manifest.find(directory)):
            yield manifest
