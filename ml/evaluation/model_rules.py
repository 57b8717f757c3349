"""What the gate asks of the candidate: is it good enough, better than production, and nowhere worse?"""

from __future__ import annotations

from collections.abc import Mapping

from ml.config import Gate
from ml.evaluation.estimate import probability_above
from ml.evaluation.layout import Evaluation, Gain, Section
from ml.evaluation.metrics import LEAST_OF_A_CLASS, METRICS
from ml.evaluation.paired import rejected_by_holm
from ml.evaluation.verdict import Rule


def model_rules(gate: Gate, evaluation: Evaluation, served_version: int | None) -> list[Rule]:
    """All rules on the model.

    With too few rows nothing else is asked, since no answer would mean anything. Without a production
    version the floors alone apply.
    """
    overall, enough = evaluation["overall"], _rows(gate, evaluation)
    if overall["candidate"] is None:
        return [enough, _unmeasured(overall)]
    if not enough.passed:
        return [enough]
    if served_version is None:
        return [enough, *_floors(gate, overall)]
    gain = _gain(gate, overall, served_version)
    return [enough, gain, *_slices(gate, evaluation), *_floors(gate, overall)]


def remarks(gate: Gate, evaluation: Evaluation) -> list[str]:
    """What decides nothing and should be known: slices too small to vote, and losses that may be chance."""
    small = [
        f"slice {name} does not vote: {section['rows']:,} rows, and {gate.min_slice_examples:,} are needed"
        for name, section in sorted(evaluation["slices"].items())
        if not _votes(gate, section)
    ]
    compared = _compared_slices(gate, evaluation)
    doubtful = [
        f"slice {name} may have lost more than the {gate.slice_margin:.2%} allowed: {_spread(gain)}"
        for name, gain in sorted(compared.items())
        if gain["relative"] < -gate.slice_margin and name not in _lost(gate, compared)
    ]
    return small + doubtful


def _rows(gate: Gate, evaluation: Evaluation) -> Rule:
    rows, enough = evaluation["rows"], evaluation["rows"] >= gate.min_examples
    reason = f"there are {rows:,} held-out rows, where {gate.min_examples:,} are asked for"
    gain = _gain_of(gate, evaluation["overall"])
    if gain and not enough:
        reason += f" (so few show a gain only if it is {gain['detectable']:.2%} or more)"
    return Rule("rows", enough, rows, f"at least {gate.min_examples}", "INCONCLUSIVE", reason)


def _unmeasured(overall: Section) -> Rule:
    one_label = min(overall["positives"], overall["rows"] - overall["positives"]) < LEAST_OF_A_CLASS
    reason = f"the candidate could not be measured: {overall['reason']}"
    return Rule("evaluation", False, None, "metrics", "INCONCLUSIVE" if one_label else "FAIL", reason)


def _floors(gate: Gate, overall: Section) -> list[Rule]:
    candidate, floors = overall["candidate"] or {}, gate.floors
    auc, calibration = candidate["auc"]["value"], candidate["calibration"]["value"]
    inside = floors.calibration_low <= calibration <= floors.calibration_high
    expected = f"{floors.calibration_low:g} to {floors.calibration_high:g}"
    return [
        Rule(
            "floor.auc",
            auc >= floors.auc,
            auc,
            f"at least {floors.auc:g}",
            "FAIL",
            f"AUC is {auc:.4f}, where at least {floors.auc:g} is asked for",
        ),
        Rule(
            "floor.calibration",
            inside,
            calibration,
            expected,
            "FAIL",
            f"{calibration:.3f} positives are predicted for each actual one, where {expected} is asked for",
        ),
    ]


def _gain(gate: Gate, overall: Section, served_version: int) -> Rule:
    name, expected = f"gain.{gate.metric}", f"at least {gate.min_gain:.2%}, significantly above 0"
    gain = _gain_of(gate, overall)
    if gain is None:
        reason = f"version {served_version} was not compared: {_why_no_gain(gate, overall)}"
        return Rule(name, False, None, expected, "FAIL", reason)
    reached = gain["relative"] >= gate.min_gain
    passed = reached and gain["p_value"] is not None and gain["p_value"] < 1 - gate.confidence
    reason = f"{_comparison(gate, overall, gain, served_version)}, where {gate.min_gain:.2%} is asked for"
    if gain["high"] < gate.min_gain:
        return Rule(
            name, False, gain["relative"], expected, "FAIL", f"{reason}, which the interval rules out"
        )
    doubt = "" if passed else _doubt(gate, overall["rows"], gain, reached)
    return Rule(name, passed, gain["relative"], expected, "INCONCLUSIVE", reason + doubt)


def _why_no_gain(gate: Gate, section: Section) -> str:
    production = (section["production"] or {}).get(gate.metric)
    if production and production["value"] == 0:
        return f"production's {METRICS[gate.metric].title} is 0, of which no gain is a share"
    return section["reason"] or "it was not scored on the same rows"


def _comparison(gate: Gate, overall: Section, gain: Gain, served_version: int) -> str:
    values = [(overall[model] or {})[gate.metric]["value"] for model in ("candidate", "production")]
    both = f"is {values[0]:.4f} and that of version {served_version} is {values[1]:.4f}"
    return f"{METRICS[gate.metric].title} {both}: {_spread(gain)}"


def _spread(gain: Gain) -> str:
    p_value = "untestable" if gain["p_value"] is None else f"p = {gain['p_value']:.2g}"
    better = "better" if gain["relative"] >= 0 else "worse"
    return f"{abs(gain['relative']):.2%} {better} ({gain['low']:+.2%} to {gain['high']:+.2%}, {p_value})"


def _doubt(gate: Gate, rows: int, gain: Gain, reached: bool) -> str:
    if gain["p_value"] is None:
        return ", but the difference has no spread to test it by"
    doubt = ", and this may be chance" if reached else ", which is neither reached nor ruled out"
    seen = f" ({rows:,} rows show a gain of {gain['detectable']:.2%} or more four times in five"
    if not 0 < gate.min_gain < gain["detectable"]:
        return f"{doubt}{seen})"
    needed = rows * (gain["detectable"] / gate.min_gain) ** 2
    rounded = float(f"{needed:.2g}")
    return f"{doubt}{seen}, and to show {gate.min_gain:.2%} it would take about {rounded:,.0f})"


def _slices(gate: Gate, evaluation: Evaluation) -> list[Rule]:
    compared = _compared_slices(gate, evaluation)
    lost = _lost(gate, compared)
    return [
        _slice(gate, name, compared[name], name in lost)
        if name in compared
        else _uncompared_slice(gate, name, section)
        for name, section in sorted(evaluation["slices"].items())
        if _votes(gate, section)
    ]


def _lost(gate: Gate, compared: Mapping[str, Gain]) -> set[str]:
    """Slices that are significantly worse than the margin allows, corrected for how many vote."""
    worse = {name: _p_value_worse(gain, gate.slice_margin) for name, gain in compared.items()}
    return rejected_by_holm(worse, 1 - gate.confidence)


def _slice(gate: Gate, name: str, gain: Gain, lost: bool) -> Rule:
    expected = f"not significantly below -{gate.slice_margin:.2%}"
    reason = f"slice {name}: {METRICS[gate.metric].title} is {_spread(gain)}"
    if lost:
        reason += f", and a loss of more than {gate.slice_margin:.2%} is certain enough"
    return Rule(f"slice.{name}.gain.{gate.metric}", not lost, gain["relative"], expected, "FAIL", reason)


def _uncompared_slice(gate: Gate, name: str, section: Section) -> Rule:
    why = _why_no_gain(gate, section)
    reason = f"slice {name} has {section['rows']:,} rows and could not be compared: {why}"
    return Rule(f"slice.{name}.gain.{gate.metric}", False, None, "a comparison", "INCONCLUSIVE", reason)


def _compared_slices(gate: Gate, evaluation: Evaluation) -> dict[str, Gain]:
    """The gains of those that vote and could be compared."""
    gains = {
        name: _gain_of(gate, section)
        for name, section in evaluation["slices"].items()
        if _votes(gate, section)
    }
    return {name: gain for name, gain in gains.items() if gain is not None}


def _votes(gate: Gate, section: Section) -> bool:
    return section["rows"] >= gate.min_slice_examples


def _gain_of(gate: Gate, section: Section) -> Gain | None:
    return (section["gain"] or {}).get(gate.metric)


def _p_value_worse(gain: Gain, margin: float) -> float:
    """One-sided p-value of the hypothesis that the slice lost no more than the margin."""
    distance = gain["relative"] + margin
    if gain["standard_error"] == 0:
        return 0.0 if distance < 0 else 1.0
    return probability_above(-distance / gain["standard_error"])
