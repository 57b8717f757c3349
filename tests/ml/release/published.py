"""Published versions as the store remembers them, without a server."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from ml.artifact import Window
from ml.manifest import Identity
from ml.release import Records
from ml.release.ledger import Move
from ml.release.versions import Version


def publish(records: Records, day: int) -> Version:
    """A model of a day in November 2026, which all users get."""
    zone = records.pipeline.landing.time_zone
    window = Window.of_day(date(2026, 11, day), zone)
    identity = Identity("model", records.pipeline.name, window, {}, {})
    model = records.store.produce(identity, lambda draft: draft.write_json({}))
    version = records.versions.allot(model, window)
    answers = records.store.root / records.pipeline.name / "release" / "golden_requests"
    answers.mkdir(parents=True, exist_ok=True)
    (answers / f"{version.number}.json").write_text("{}")
    give_users(records, version, "push", "better")
    return version


def give_users(records: Records, version: Version, action: str, reason: str) -> None:
    """Write a move of the users' label into the ledger."""
    label, before = records.ledger.label, records.ledger.last_served
    move = Move(action, label, version, before, "ada", reason)  # type: ignore[arg-type]
    records.ledger.append("moving", move)
    records.ledger.record(move)


def write_at(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the ledger's lines be of a moment."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Clock:
            return cls.fromisoformat(moment).astimezone(tz)

    monkeypatch.setattr("ml.release.ledger.datetime", Clock)
