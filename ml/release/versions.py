"""Version numbers of published models, ``YYYYMMDDnnn``, and what each number stands for.

The number is allotted once and for ever: the same model always gets the same one, whatever was retried
in between, and another model of the same day gets the next. A number's record is what the production
pointer is resolved with, so it is on disk before a model server hears of the number.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ml.artifact import Artifact, Window, canonical_json
from ml.config import Pipeline
from ml.durable import write_atomically
from ml.errors import Misconfigured
from ml.store import Store

MAX_COUNT = 999


@dataclass(frozen=True)
class Version:
    """A model under the number that it is served by.

    Attributes:
        number: ``YYYYMMDDnnn``; a model server's version is an int64.
        model: the model.
        window: the day that it was trained for.
    """

    number: int
    model: Artifact
    window: Window

    @property
    def watermark(self) -> datetime:
        """The end of the newest data that the model has seen."""
        return self.window.end

    def as_json(self) -> dict[str, Any]:
        """What the record on disk holds."""
        return {"version": self.number, "model": self.model, "window": self.window.as_json()}

    @classmethod
    def read(cls, path: Path) -> Version:
        """Read a record back."""
        content = json.loads(path.read_bytes())
        return cls(content["version"], content["model"], Window.parse(**content["window"]))


def version_number(day: date, count: int) -> int:
    """``YYYYMMDDnnn`` of a day and the how-manieth model of it, from 1 on. Later days have larger numbers.

    Raises:
        ValueError: if ``count`` has no place in three digits.
    """
    if not 1 <= count <= MAX_COUNT:
        raise ValueError(f"expected a count from 1 to {MAX_COUNT}, got {count}")
    return ((day.year * 100 + day.month) * 100 + day.day) * (MAX_COUNT + 1) + count


class Versions:
    """All numbers that one pipeline has allotted."""

    def __init__(self, pipeline: Pipeline, store: Store) -> None:
        self._store = store
        self._time_zone = pipeline.landing.time_zone
        self._lock = f"{pipeline.name}/release/versions"
        self._directory = store.root / pipeline.name / "release" / "versions"

    def find(self, number: int) -> Version | None:
        """What a number stands for; None if it was never allotted here."""
        path = self._path(number)
        return Version.read(path) if path.exists() else None

    def find_model(self, digest: str) -> Version | None:
        """What a model was allotted; None if it never was."""
        records = map(Version.read, sorted(self._directory.glob("[0-9]*.json")))
        return next((version for version in records if version.model["digest"] == digest), None)

    def allot(self, model: Artifact, window: Window) -> Version:
        """The number of this model: the one that it has, or the next free one of its day.

        Raises:
            Misconfigured: if the day has had 999 different models.
        """
        day = window.day(self._time_zone)
        with self._store.lock(self._lock):
            for count in range(1, MAX_COUNT + 1):
                number = version_number(day, count)
                existing = self.find(number)
                if existing is None:
                    return self._write(Version(number, model, window))
                if existing.model["digest"] == model["digest"]:
                    return existing
        raise Misconfigured(
            f"{day} has had {MAX_COUNT} different models, and a version number has room for no more. Find "
            f"out what keeps changing them, and set aside the records of that day in {self._directory}."
        )

    def _write(self, version: Version) -> Version:
        write_atomically(self._path(version.number), canonical_json(version.as_json()).encode())
        return version

    def _path(self, number: int) -> Path:
        return self._directory / f"{number}.json"
