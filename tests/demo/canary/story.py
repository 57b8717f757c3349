"""Three nights with a canary. The data causes the verdicts, users' answers what becomes of the canary."""

from __future__ import annotations

import json
from datetime import date, timedelta

from tests.demo.clicks import Day
from tests.demo.story import PIPELINE, Night

NIGHTS = 3
FEW, MANY = 30_000, 80_000
RATE = 100.0  # requests a second

# Shorter and wider than the product's limits: a trial takes a minute or two, and the machine does much else.
ROLLOUT = {
    "min_requests": 500,
    "max_minutes": 10,
    "error_difference": 0.05,
    "latency_quantile": 0.9,
    "latency_ratio": 3.0,
    "score_shift": 0.3,
    "poll_seconds": 10,
}
CANARY = {"share": 0.10, "servers": "two", "rollout": ROLLOUT}
SETTINGS = {f"RETRAIN_{PIPELINE.upper()}__SERVING__CANARY": json.dumps(CANARY)}
# Longer than the product's second: a busy machine's healthy canary may take its time.
PATIENCE_SECONDS = 5.0


def three_nights(first: date) -> list[Night]:
    """The story, beginning with the log of ``first``. More evidence makes a better model."""
    days = [first + timedelta(days=number) for number in range(NIGHTS)]
    return [
        Night(Day(days[0], FEW, 1), "no production yet", ("BOOTSTRAP",)),
        Night(Day(days[1], MANY, 2), "more evidence", ("PASS",)),
        Night(Day(days[2], MANY, 3), "more evidence", ("PASS",)),
    ]


def version_of(night: Night) -> int:
    """The version that a night publishes: the first content of its day."""
    return int(f"{night.day.date:%Y%m%d}001")


def fault_of(night: Night) -> tuple[str, ...]:
    """Flags of the stand-in for TF Serving: this night's version is slow and fails, wherever it is served.

    It strikes users' requests only. The gate and the golden requests find nothing wrong with the version.
    """
    return (
        f"--inject_version={version_of(night)}",
        "--inject_latency_ms=300",
        "--inject_error_ratio=0.25",
    )
