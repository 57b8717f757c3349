"""What firing alerts mean for the last move of the users' label. Pure.

The way back is taken by itself at most once for a move, and never from a version that a roll-back has led to:
what comes after one is a person's to decide, or two versions would take turns all night.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from ml.release.history import Passage, arrivals, golden_version, rolled_back, version_before
from ml.release.versions import Version
from ml.release.watch.alerts import Alert

Decision = Literal["CALM", "LEAVE", "TELL", "ROLL_BACK"]
Line = Mapping[str, Any]


@dataclass(frozen=True)
class Standing:
    """What serves, and what the ledger says of how it came there.

    Attributes:
        pipeline: the pipeline's name.
        label: the users' label.
        version: what the model server names by it; None for nothing.
        lines: the whole ledger.
    """

    pipeline: str
    label: str
    version: Version | None
    lines: Sequence[Line]

    @property
    def served(self) -> int | None:
        """The number of what is served."""
        return self.version.number if self.version else None

    @property
    def arrival(self) -> Passage | None:
        """The move that has brought what is served; None if the ledger knows of another, or of none."""
        done = arrivals(self.lines, self.label)
        return done[-1] if done and done[-1].to == self.served else None

    @property
    def previous(self) -> int | None:
        """Where a roll-back to ``previous`` leads."""
        return version_before(self.lines, self.label, self.served)

    @property
    def safe_command(self) -> str:
        """What a person can do when the watch does nothing more by itself."""
        golden = golden_version(self.lines)
        if golden not in (None, self.served) and golden not in rolled_back(self.lines):
            to = "golden"
        elif self.previous:
            to = "previous"
        else:
            return f"python -m ml reconcile --pipeline {self.pipeline}"
        return f'python -m ml rollback --pipeline {self.pipeline} --to {to} --reason "…"'


@dataclass(frozen=True)
class Judgement:
    """The word on one look.

    Attributes:
        decision: CALM, nothing fires; LEAVE, what fires is not the last move's fault; TELL, it may be, and a
            person must decide; ROLL_BACK.
        sentence: why. The same alert and the same move give the same sentence.
        alert: what would be held against the move; None if nothing is.
        target: where to go back to; None but for ROLL_BACK.
    """

    decision: Decision
    sentence: str
    alert: Alert | None = None
    target: int | None = None


def judge(standing: Standing, alerts: Sequence[Alert], within_hours: float, now: datetime) -> Judgement:
    """What these alerts mean for the last move.

    Args:
        standing: what serves, by which move.
        alerts: those that fire, the oldest first.
        within_hours: so long after a move an alert is held against it.
        now: the moment of the look.
    """
    arrival = standing.arrival
    if not alerts:
        return Judgement("CALM", "no alert fires")
    fire = f"{', '.join(sorted({alert.name for alert in alerts}))} fires"
    if arrival is None:
        return Judgement("LEAVE", f"{fire}, and the ledger does not say how {standing.served} came to serve")
    if now - arrival.announced_at > timedelta(hours=within_hours):
        since = f"{arrival.announced_at:%Y-%m-%d %H:%M} UTC"
        return Judgement("LEAVE", f"{fire}; {arrival.to} has served since {since}, too long to be blamed")
    later = [alert for alert in alerts if alert.since > arrival.announced_at and not alert.was_there]
    if not later:
        return Judgement("LEAVE", f"{fire}, and has done so since before {arrival.to} was served")
    return _blame(standing, arrival, later[0])


def _blame(standing: Standing, arrival: Passage, alert: Alert) -> Judgement:
    fires = (
        f"{alert.name} fires since {alert.since:%Y-%m-%d %H:%M:%S} UTC, after all users of "
        f"{standing.pipeline} were given {arrival.to} at {arrival.announced_at:%H:%M:%S}"
    )
    if arrival.line["action"] == "rollback":
        sentence = f"{fires}; a roll-back has led there, so nothing more is done by itself"
        return Judgement("TELL", sentence, alert)
    if standing.previous is None:
        return Judgement("TELL", f"{fires}; there is no previous version to go back to", alert)
    return Judgement("ROLL_BACK", fires, alert, standing.previous)
