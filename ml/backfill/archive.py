"""What the store holds of one pipeline, read once: what each artifact was made of, and how long it took."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from statistics import median

from ml.artifact import Window
from ml.config import Pipeline
from ml.manifest import Identity, Manifest
from ml.store import Store

RECENT = 14
# What these take grows with the rows of the day; what the others take, hardly, or it is not known before.
SCALES_WITH_ROWS = frozenset({"statistics", "anomalies", "model", "evaluation"})


class Archive:
    """The manifests of one pipeline."""

    def __init__(self, pipeline: Pipeline, store: Store) -> None:
        self._pipeline = pipeline
        self._store = store
        self._read: dict[str, list[Manifest]] = {}

    def newest(self, kind: str, window: Window) -> Identity | None:
        """What the artifact that was written last for this day was made of."""
        found = [one.identity for one in self._of_kind(kind) if one.identity.window == window]
        return found[-1] if found else None

    def commit_of(self, identity: Identity) -> str | None:
        """The commit that wrote an artifact; None if that is not known, or there is none."""
        found = [one for one in self._of_kind(identity.kind) if one.identity.key == identity.key]
        return found[-1].code.get("commit") if found else None

    def seconds(self, kind: str, rows: int | None) -> float | None:
        """How long making one has taken of late: the median of the newest, None without history.

        Args:
            kind: what is made.
            rows: of the day that it would be made for; None if they are not known.
        """
        recent = [one for one in self._of_kind(kind) if "seconds" in one.measurements][-RECENT:]
        if rows and kind in SCALES_WITH_ROWS and (rates := list(self._seconds_a_row(recent))):
            return median(rates) * rows
        return median(one.measurements["seconds"] for one in recent) if recent else None

    def _seconds_a_row(self, manifests: list[Manifest]) -> Iterator[float]:
        for one in manifests:
            if rows := self._rows.get(one.identity.window):
                yield one.measurements["seconds"] / rows

    @cached_property
    def _rows(self) -> dict[Window, int]:
        return {one.identity.window: one.facts.get("accepted", 0) for one in self._of_kind("examples")}

    def _of_kind(self, kind: str) -> list[Manifest]:
        if kind not in self._read:
            self._read[kind] = self._store.manifests(self._pipeline.name, kind)
        return self._read[kind]
