"""The gate: closed by default, and it says why in words."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import get_args

from ml.config import Gate, Pipeline
from ml.evaluation.data_rules import data_rules, warnings
from ml.evaluation.model_rules import model_rules, remarks
from ml.evaluation.verdict import Blessing, Evidence, Refusal, Rule
from ml.store import Draft

PRECEDENCE = get_args(Refusal)

log = logging.getLogger(__name__)


def decide_blessing(pipeline: Pipeline, evidence: Evidence, draft: Draft) -> None:
    """Judge the candidate and write ``blessing.json``. A refusal is an answer, not an error."""
    blessing = judge(pipeline, evidence)
    draft.write_json(blessing.as_json())
    draft.facts.update(verdict=blessing.verdict, publish=blessing.publish)
    log.info("%s: %s", blessing.verdict, "; ".join(blessing.reasons))


def judge(pipeline: Pipeline, evidence: Evidence) -> Blessing:
    """Ask every rule and answer with the weightiest refusal, or publish if there is none.

    A candidate that is too old is STALE whatever else it is; doubt about the data (PAUSED) outweighs what
    was measured on them (FAIL), and that outweighs what could not be told (INCONCLUSIVE). All reasons are
    given, in this order, not only the first. The function is pure.

    Args:
        pipeline: its ``gate`` and ``drift`` sections.
        evidence: what was measured, and what is missing.
    """
    rules = [*data_rules(pipeline.drift.thresholds, evidence), *_evaluation_rules(pipeline.gate, evidence)]
    refused = sorted((rule for rule in rules if not rule.passed), key=_weight)
    first = evidence.served_version is None
    findings = warnings(evidence.anomalies)
    if evidence.evaluation is not None:
        findings += remarks(pipeline.gate, evidence.evaluation)
    return Blessing(
        verdict=refused[0].refusal if refused else "BOOTSTRAP" if first else "PASS",
        reasons=[rule.reason for rule in refused] or _why_published(rules, first),
        findings=findings,
        rules=rules,
        watermark=evidence.watermark,
        judged_against=evidence.served_version,
    )


def _weight(rule: Rule) -> int:
    return PRECEDENCE.index(rule.refusal)


def _evaluation_rules(gate: Gate, evidence: Evidence) -> list[Rule]:
    if evidence.evaluation is not None:
        return model_rules(gate, evidence.evaluation, evidence.served_version)
    stopped = evidence.anomalies is not None and evidence.anomalies["stop"]
    cause = "the run stopped at validation" if stopped else "training or evaluation did not finish"
    return [Rule("evaluation", False, None, "metrics", "FAIL", f"no evaluation was made: {cause}")]


def _why_published(rules: Sequence[Rule], first: bool) -> list[str]:
    floors = [rule.reason for rule in rules if rule.rule.startswith("floor.")]
    if first:
        return ["there is no production version yet, so only the floors were asked", *floors]
    gains = [rule.reason for rule in rules if rule.rule.startswith("gain.")]
    voting = sum(rule.rule.startswith("slice.") for rule in rules)
    return [*gains, f"{voting} slices voted and none is significantly worse", *floors]
