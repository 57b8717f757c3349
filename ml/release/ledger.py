"""The ledger of publications: MLflow keeps no history of its aliases and the model server none of labels.

One JSON object a line. ``moving`` is written before the label is touched and ``moved`` after the alias has
followed. A ``moving`` that no ``moved`` follows is a publication that was lost on the way; whoever comes
next knows from it that a label ahead of its alias is ours to finish, and not a stranger's doing.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Literal

from ml.artifact import canonical_json
from ml.config import Pipeline
from ml.durable import write_atomically
from ml.release.versions import Version
from ml.store import Store

Event = Literal["moving", "moved"]


class Ledger:
    """The publications of one pipeline, oldest first. Write to it under the publication lock only."""

    def __init__(self, pipeline: Pipeline, store: Store) -> None:
        self.path = store.root / pipeline.name / "release" / "ledger.jsonl"

    def entries(self) -> list[dict[str, Any]]:
        """All lines."""
        return [json.loads(line) for line in self._text().splitlines()]

    def append(self, event: Event, version: Version, previous: int | None) -> None:
        """Add a line, unless it says what the last one says: then this is a retry."""
        said = {
            "event": event,
            "version": version.number,
            "previous": previous,
            "model": version.model["digest"],
            "watermark": version.watermark.isoformat(),
        }
        entries = self.entries()
        if entries and said.items() <= entries[-1].items():
            return
        line = canonical_json({**said, "at": datetime.now(timezone.utc).isoformat(timespec="seconds")})
        write_atomically(self.path, f"{self._text()}{line}\n".encode())

    @property
    def on_the_way(self) -> dict[str, Any] | None:
        """The line of a publication that began to move the label and has not said that it is done."""
        entries = self.entries()
        return entries[-1] if entries and entries[-1]["event"] == "moving" else None

    @property
    def last_served(self) -> int | None:
        """The version of the last publication that came to its end."""
        served = [entry["version"] for entry in self.entries() if entry["event"] == "moved"]
        return served[-1] if served else None

    def _text(self) -> str:
        return self.path.read_text() if self.path.exists() else ""
