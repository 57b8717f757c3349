"""The word on a canary: promote it, roll it back, hold it, or wait for more. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ml.config import Rollout
from ml.release.rollout.findings import Finding, compare
from ml.release.rollout.observations import Observations

Decision = Literal["PROMOTE", "ROLL_BACK", "HOLD", "WAIT"]


@dataclass(frozen=True)
class Judgement:
    """A decision and why.

    Attributes:
        decision: what to do.
        reasons: in words, with the numbers.
    """

    decision: Decision
    reasons: tuple[str, ...]


def judge(seen: Observations, limits: Rollout) -> Judgement:
    """Judge the canary by what both tracks have answered over the same time.

    May be asked as often as one likes. A canary within the limits is ever rolled back with a probability of
    at most ``false_alarm``, and one beyond the limit of errors or scores ever promoted with one of at most
    ``missed_alarm``. What is beyond a limit for sure is rolled back at once, with however few requests;
    promoted is only what has answered ``min_requests``. Silence is no success: who has not answered enough
    by the end of the time is held.
    """
    findings = compare(limits, seen)
    if worse := [finding.sentence for finding in findings if finding.state == "worse"]:
        return Judgement("ROLL_BACK", tuple(worse))
    pending = _pending(seen, limits, findings)
    if not pending:
        return Judgement("PROMOTE", tuple(finding.sentence for finding in findings))
    if seen.minutes < limits.max_minutes:
        return Judgement("WAIT", tuple(pending))
    return Judgement("HOLD", (f"no decision after {seen.minutes:.0f} minutes", *pending))


def _pending(seen: Observations, limits: Rollout, findings: Sequence[Finding]) -> list[str]:
    """What is missing for a promotion. Of no answers at all, a comparison would only say so once more."""
    missing = _missing_traffic(seen, limits)
    if seen.problem or not seen.canary.failures.total:
        return missing
    return [*missing, *(finding.sentence for finding in findings if finding.state == "open")]


def _missing_traffic(seen: Observations, limits: Rollout) -> list[str]:
    asked = seen.canary.failures.total
    if seen.problem:
        return [seen.problem]
    if not asked:
        return ["nobody has asked the canary: nothing is known of it. Is the router up, and its log read?"]
    if asked < limits.min_requests:
        return [f"the canary has answered {asked} requests, expected at least {limits.min_requests}"]
    return []
