"""Measuring a candidate beside production, and the gate that judges what was measured.

`evaluate_candidate` scores both models on the same held-out rows and writes what `ml.evaluation.layout`
describes. `decide_blessing` reads it beside the anomalies, the drift report and production's watermark, and
writes the blessing. Measuring never judges, and judging never measures.
"""

from ml.evaluation.candidate import Models, evaluate_candidate
from ml.evaluation.gate import decide_blessing, judge
from ml.evaluation.verdict import Blessing, Evidence, Rule, Verdict

__all__ = [
    "Blessing",
    "Evidence",
    "Models",
    "Rule",
    "Verdict",
    "decide_blessing",
    "evaluate_candidate",
    "judge",
]
