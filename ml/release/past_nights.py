"""What store and ledger tell of the last nights: verdicts, publications, drift. No server is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from ml.config import Pipeline
from ml.manifest import Manifest
from ml.release.history import Line, arrivals, rolled_back
from ml.store import PARTIAL, Store

PUBLISHING = ("push", "promote")


@dataclass(frozen=True)
class JudgedNight:
    """A day and the last verdict on it.

    Attributes:
        day: the calendar day in the pipeline's time zone, ISO 8601.
        verdict: the gate's last.
    """

    day: str
    verdict: str


def judged_nights(pipeline: Pipeline, store: Store, most: int) -> list[JudgedNight]:
    """The last nights that the gate judged, newest day first; of a day judged twice, the last verdict."""
    tries: dict[str, list[Manifest]] = {}
    for manifest in _made(pipeline, store, "blessing"):
        day = pipeline.name_of(manifest.identity.window)
        if day not in tries and len(tries) == most:
            break
        tries.setdefault(day, []).append(manifest)
    return [_night(day, made, store) for day, made in tries.items()]


def unpublished_nights(pipeline: Pipeline, store: Store, lines: Sequence[Line], due: date) -> int:
    """How many nights in a row have brought all users nothing that stayed, whatever stopped them.

    A canary brings them nothing before it is promoted, and a version that was rolled back has not stayed.
    The nights are counted from the newest day that did, so no backfill of older ones changes it. Before the
    first publication those count that came to a verdict in their own time: nobody knows since when there
    should be others, and a backfill brings a new pipeline many at once.

    Args:
        pipeline: the settings.
        store: its artifacts.
        lines: the whole ledger.
        due: the last day that should be published by now.
    """
    condemned = rolled_back(lines)
    stayed = [one for one in arrivals(lines, pipeline.serving.label) if one.to not in condemned]
    if not stayed:
        made = _made(pipeline, store, "blessing")
        return len({one.identity.window for one in made if _in_its_own_time(pipeline, one)})
    newest = max(datetime.fromisoformat(one.line["watermark"]) for one in stayed)
    missing_from = newest.astimezone(ZoneInfo(pipeline.landing.time_zone)).date()
    return max(0, (due - missing_from).days + 1)


def last_publication(pipeline: Pipeline, lines: Sequence[Line]) -> datetime | None:
    """When all users last got a version by a push or a promotion; None if they never did."""
    moves = arrivals(lines, pipeline.serving.label)
    return next((one.moved_at for one in reversed(moves) if one.line["action"] in PUBLISHING), None)


def last_drift(pipeline: Pipeline, store: Store) -> list[dict[str, Any]]:
    """The features of the newest day's drift report, as `ml.validation.drift_report` describes them."""
    for manifest in islice(_made(pipeline, store, "drift_report"), 1):
        features: list[dict[str, Any]] = store.read_json(manifest.artifact)["features"]
        return features
    return []


def _night(day: str, made: list[Manifest], store: Store) -> JudgedNight:
    last = max(made, key=lambda manifest: manifest.created_at)
    return JudgedNight(day, store.read_json(last.artifact)["verdict"])


def _in_its_own_time(pipeline: Pipeline, made: Manifest) -> bool:
    """Whether a night has made it before the next day was due, as no backfill of earlier days does."""
    zone = ZoneInfo(pipeline.landing.time_zone)
    next_morning = made.identity.window.end.astimezone(zone).date() + timedelta(days=1)
    due = datetime.combine(next_morning, time.fromisoformat(pipeline.serving.published_by), zone)
    return datetime.fromisoformat(made.created_at) < due


def _made(pipeline: Pipeline, store: Store, kind: str) -> Iterator[Manifest]:
    """Of every artifact of a kind, newest day first."""
    directories = (store.root / pipeline.name / kind).glob("*")
    for directory in sorted(directories, key=lambda path: path.name, reverse=True):
        if directory.suffix != PARTIAL and (manifest := Manifest.find(directory)):
            yield manifest
