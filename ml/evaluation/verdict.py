"""What the gate is shown, what it asks and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ml.evaluation.layout import Evaluation

Verdict = Literal["PASS", "BOOTSTRAP", "FAIL", "INCONCLUSIVE", "PAUSED", "STALE"]
Refusal = Literal["STALE", "PAUSED", "FAIL", "INCONCLUSIVE"]
Value = str | int | float | None

PUBLISHED: tuple[Verdict, ...] = ("PASS", "BOOTSTRAP")


@dataclass(frozen=True)
class Evidence:
    """Everything that the gate judges by. None stands for what was not made, which is a finding too.

    Attributes:
        watermark: the end of the candidate's window.
        production: ``production.json``, the version that the candidate would replace; its ``version`` is
            None before the first.
        anomalies: ``anomalies.json`` of the day.
        drift_report: ``drift_report.json`` of the day against production's baseline.
        evaluation: ``evaluation.json`` of candidate and production.
    """

    watermark: datetime
    production: dict[str, Any] | None = None
    anomalies: dict[str, Any] | None = None
    drift_report: dict[str, Any] | None = None
    evaluation: Evaluation | None = None

    @property
    def served_version(self) -> int | None:
        """The version that is serving, or None before the first."""
        return self.production["version"] if self.production else None


@dataclass(frozen=True)
class Rule:
    """One thing that the gate asked.

    Attributes:
        rule: its name, which is also its metric's in MLflow where it has one.
        passed: whether the answer was good. What could not be found out is not.
        observed: what was found, or None if it could not be found out.
        expected: what was asked for.
        refusal: the verdict that it leads to if it is not passed.
        reason: the answer in words.
    """

    rule: str
    passed: bool
    observed: Value
    expected: Value
    refusal: Refusal
    reason: str

    def as_json(self) -> dict[str, Value]:
        """One entry of ``rules`` in ``blessing.json``."""
        return dict(vars(self))


@dataclass(frozen=True)
class Blessing:
    """The gate's answer.

    Attributes:
        verdict: the one word.
        reasons: why, in words, the weightiest first.
        findings: what did not decide and should be known.
        rules: everything that was asked.
        watermark: of the candidate.
        judged_against: the served version that the answer holds for, or None before the first.
    """

    verdict: Verdict
    reasons: Sequence[str]
    findings: Sequence[str]
    rules: Sequence[Rule]
    watermark: datetime
    judged_against: int | None

    @property
    def publish(self) -> bool:
        """Whether the candidate may be pushed."""
        return self.verdict in PUBLISHED

    def as_json(self) -> dict[str, Any]:
        """What ``blessing.json`` holds."""
        return {
            "verdict": self.verdict,
            "publish": self.publish,
            "reasons": list(self.reasons),
            "findings": list(self.findings),
            "rules": [rule.as_json() for rule in self.rules],
            "watermark": self.watermark.isoformat(),
            "judged_against": self.judged_against,
        }
