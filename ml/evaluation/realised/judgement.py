"""The later word on a canary, by what its users did: CONFIRMED, DOUBTED or INCONCLUSIVE. Pure.

One look at one day, so intervals for one look will do. There are three comparisons, and each has a third of
the error that `Realised.confidence` leaves (Bonferroni). A comparison says ``worse`` if the canary is beyond
its limit for the whole interval, ``fine`` if it is within it for the whole interval, ``open`` otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ml.config import Floors, Realised
from ml.evaluation.estimate import Estimate, quantile
from ml.evaluation.paired import POWER
from ml.evaluation.realised.tracks import CLICKS, Track
from ml.trials import CANARY, STABLE

Verdict = Literal["CONFIRMED", "DOUBTED", "INCONCLUSIVE"]
State = Literal["worse", "fine", "open"]
COMPARISONS = 3
# Below so many users the normal approximation of a sum over users is not apt.
LEAST_USERS = 100
# Two samples are not alike if the shares of joined answers differ by this much, and by this little chance.
UNLIKE_SHARE, UNLIKE_CHANCE = 0.05, 0.001


@dataclass(frozen=True)
class Finding:
    """What one comparison came to.

    Attributes:
        name: of the comparison.
        state: see the module.
        sentence: with the numbers.
    """

    name: str
    state: State
    sentence: str


@dataclass(frozen=True)
class Side:
    """One track: what was answered, and what came of it.

    Attributes:
        answers: that could be joined.
        measured: those that were.
    """

    answers: int
    measured: Track

    @property
    def share(self) -> float:
        """Of the answers, those that an event came of."""
        return self.measured.rows / self.answers if self.answers else 0.0


@dataclass(frozen=True)
class Later:
    """One trial, judged by realised labels.

    Attributes:
        verdict: the word.
        reasons: in words, with the numbers.
        findings: every comparison that could be made.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


def judge(sides: dict[str, Side], limits: Realised, floors: Floors) -> Later:
    """Judge one trial.

    What could not be computed never confirms: it is a reason for INCONCLUSIVE.

    Args:
        sides: canary and stable.
        limits: from ``serving.canary.realised``.
        floors: of the gate; calibration is held to the same limits as offline.
    """
    if impossible := _impossible(sides[CANARY].measured):
        return Later("DOUBTED", (impossible,))
    if missing := _missing(sides, limits):
        return Later("INCONCLUSIVE", tuple(missing))
    comparison = Comparison(sides, limits)
    findings = (comparison.clicks(), comparison.log_loss(), comparison.calibration(floors))
    if unlike := _unlike(sides):
        return Later("INCONCLUSIVE", (unlike, *(one.sentence for one in findings)), findings)
    for state, verdict in (("worse", "DOUBTED"), ("open", "INCONCLUSIVE")):
        if said := [finding.sentence for finding in findings if finding.state == state]:
            return Later(verdict, tuple(said), findings)  # type: ignore[arg-type]
    return Later("CONFIRMED", tuple(finding.sentence for finding in findings), findings)


@dataclass(frozen=True)
class Comparison:
    """The canary beside stable."""

    sides: dict[str, Side]
    limits: Realised

    @property
    def confidence(self) -> float:
        """Of each comparison, so that all of them together have theirs."""
        return 1 - (1 - self.limits.confidence) / COMPARISONS

    def clicks(self) -> Finding:
        """Whether the canary's users click less than stable's by more than ``clicks_lost``."""
        rates = [self.sides[track].measured.estimates[CLICKS] for track in (CANARY, STABLE)]
        lost, allowed = rates[0].relative_to(rates[1]).negated(), self.limits.clicks_lost
        said = f"{rates[0].value:.2%} of the canary's answers were clicked, {rates[1].value:.2%} of stable's"
        return self._compared("clicks", said, lost, allowed, "lost")

    def log_loss(self) -> Finding:
        """Whether the canary's log loss is larger than stable's by more than ``log_loss_gained``."""
        losses = [self.sides[track].measured.estimates["log_loss"] for track in (CANARY, STABLE)]
        gained, allowed = losses[0].relative_to(losses[1]), self.limits.log_loss_gained
        said = f"the canary's log loss is {losses[0].value:.4f}, stable's {losses[1].value:.4f}"
        return self._compared("log_loss", said, gained, allowed, "more")

    def calibration(self, floors: Floors) -> Finding:
        """Whether the canary predicts as many clicks as there were, within the gate's limits."""
        ratio = self.sides[CANARY].measured.estimates["calibration"]
        low, high = ratio.interval(self.confidence, "log")
        least, most = floors.calibration_low, floors.calibration_high
        said = f"the canary predicts {ratio.value:.3f} clicks for each that came ({low:.3f} to {high:.3f})"
        limits = f"allowed are {least:g} to {most:g}"
        state: State = "fine" if least <= low and high <= most else "open"
        if high < least or low > most:
            state = "worse"
        return Finding("calibration", state, f"{said}, {limits}")

    def _compared(self, name: str, said: str, excess: Estimate, allowed: float, word: str) -> Finding:
        low, high = excess.interval(self.confidence)
        spread = f"{said}: {excess.value:+.1%} {word} ({low:+.1%} to {high:+.1%}), allowed is {allowed:.1%}"
        if low > allowed:
            return Finding(name, "worse", spread)
        if high <= allowed:
            return Finding(name, "fine", spread)
        seen = (quantile((1 + self.confidence) / 2) + quantile(POWER)) * excess.standard_error
        return Finding(name, "open", f"{spread}; so few rows show {seen:.1%} four times in five")


def _impossible(canary: Track) -> str:
    if not canary.impossible:
        return ""
    return f"the canary gave {canary.impossible:,} of {canary.rows:,} rows a score that is no probability"


def _missing(sides: dict[str, Side], limits: Realised) -> list[str]:
    """What is missing for a judgement."""
    return [reason for track, side in sides.items() for reason in _missing_of(track, side, limits)]


def _missing_of(track: str, side: Side, limits: Realised) -> list[str]:
    measured = side.measured
    if not side.answers:
        return [f"the router has recorded no answer of {track} that could be joined"]
    if measured.rows < limits.min_rows:
        few = f"{measured.rows:,} of {track}'s {side.answers:,} answers were joined"
        return [f"{few}, expected at least {limits.min_rows:,} (realised.min_rows)"]
    if measured.users < LEAST_USERS:
        return [f"{track}'s rows are of {measured.users} users, expected at least {LEAST_USERS}"]
    if measured.impossible:
        return [f"{track} gave {measured.impossible:,} rows a score that is no probability"]
    if not measured.estimates:
        return [f"{measured.positives:,} of {track}'s {measured.rows:,} rows are positive: nothing to learn"]
    return []


def _unlike(sides: dict[str, Side]) -> str:
    """Why the two samples are not alike, by Pearson's test that events came of equal shares of the answers.

    Its rows are taken to be independent, so it is too quick to find small differences; these do not count.
    """
    from scipy.stats import chi2_contingency

    table = [[side.measured.rows, side.answers - side.measured.rows] for side in sides.values()]
    if abs(sides[CANARY].share - sides[STABLE].share) <= UNLIKE_SHARE:
        return ""
    if chi2_contingency(table)[1] >= UNLIKE_CHANCE:
        return ""
    shares = f"{sides[CANARY].share:.1%} of the canary's answers and {sides[STABLE].share:.1%} of stable's"
    return f"events came of {shares}, so the two are not alike and their clicks prove nothing"
