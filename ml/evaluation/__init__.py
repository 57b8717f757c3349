"""Measuring a candidate beside production, and the gate that judges what was measured.

``candidate.evaluate_candidate`` scores both models on the same held-out rows and writes the
`layout.Evaluation`. ``gate.decide_blessing`` reads it beside the anomalies, the drift report and
production's watermark, and writes the blessing. Measuring never judges, and judging never measures.
"""
