"""How long each kind of artifact is kept for its own sake."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ml.config import Pipeline
from ml.housekeeping.holdings import Holding

SNAPSHOTS = frozenset({"statistics", "anomalies"})
DAYS = frozenset({"offsets", "examples"})
JUDGEMENTS = frozenset(
    {
        "training_window",
        "model",
        "production",
        "drift_report",
        "evaluation",
        "blessing",
        "pushed_model",
        "rollout",
        "watch",
        "predictions",
        "realised",
    }
)


@dataclass(frozen=True)
class Limit:
    """So long an artifact is kept.

    Attributes:
        days: from the end of its day or its last use, whichever is later.
        setting: where that is set.
        what: is kept so long, in words.
        holds: whether it holds what it was made from. A snapshot does not: it can be looked back at
            whatever becomes of its examples.
    """

    days: int
    setting: str
    what: str
    holds: bool = True

    def is_over(self, holding: Holding, now: datetime) -> bool:
        """Whether an artifact has been kept for so long."""
        return max(holding.window.end, holding.last_used) + timedelta(days=self.days) <= now

    def __str__(self) -> str:
        return f"{self.what} are kept for {self.days} days ({self.setting})"


def limit_of(holding: Holding, pipeline: Pipeline) -> Limit | None:
    """The limit of an artifact's kind; None for a kind that housekeeping does not know, and keeps."""
    settings, address = pipeline.housekeeping, holding.address
    if address.what_if:
        return Limit(settings.what_if_days, "housekeeping.what_if_days", "what-ifs")
    if address.kind in DAYS:
        return Limit(settings.examples_days, "housekeeping.examples_days", "landed days")
    if address.kind in SNAPSHOTS:
        return Limit(pipeline.snapshots.keep_days, "snapshots.keep_days", "snapshots", holds=False)
    if address.kind in JUDGEMENTS:
        return Limit(
            settings.models_days, "housekeeping.models_days", "models and the reports of their nights"
        )
    return None
