"""The times at which two versions answered side by side, as packages tell each other of them."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from ml.artifact import milliseconds

CANARY, STABLE = "canary", "stable"
TRACKS = (CANARY, STABLE)


class TrialSpan(TypedDict):
    """Two versions side by side without a break; a trial in which stable moved is two of them.

    Keys:
        version: the canary.
        stable: what all other users were answered by.
        since: from when on, ISO 8601.
        until: to when, ISO 8601; the moment itself is no part of it.
    """

    version: int
    stable: int
    since: str
    until: str


def span_of(trial: TrialSpan) -> tuple[int, int]:
    """Begin and end in milliseconds since the epoch."""
    since, until = (datetime.fromisoformat(trial[end]) for end in ("since", "until"))
    return milliseconds(since), milliseconds(until)
