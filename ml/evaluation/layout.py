"""What ``evaluation.json`` holds. Its paths are MLflow's metric names, such as ``slice.new_user.gain.auc``.

::

    {"holdout": {"start": …, "end": …}, "confidence": 0.95, "rows": 200000, "positives": 31000,
     "overall": {
        "rows": 200000, "positives": 31000, "reason": null,
        "candidate":  {"auc": {"value": 0.731, "low": 0.728, "high": 0.734}, "pr_auc": …, "log_loss": …,
                       "calibration": …},
        "production": {…the same…} or null,
        "gain": {"auc": {"relative": 0.0072, "absolute": 0.0052, "low": 0.0041, "high": 0.0103,
                         "standard_error": 0.0016, "p_value": 0.0000068, "detectable": 0.0045},
                 "pr_auc": …, "log_loss": …} or null},
     "slices": {"device.mobile": {…the same as overall…}, "new_user": …}}

| path | MLflow name |
|---|---|
| ``overall.candidate.auc.value`` | ``candidate.auc`` |
| ``overall.production.auc.value`` | ``production.auc`` |
| ``overall.gain.auc.relative`` | ``gain.auc``, the number that ``gate.min_gain`` is compared with |
| ``overall.gain.auc.absolute`` | ``difference.auc`` |
| ``slices.new_user.gain.auc.relative`` | ``slice.new_user.gain.auc`` |

``scores.parquet`` lies beside it with the rows that the numbers come from, or evenly spaced ones of them
when there are more than `candidate.MAX_SCORES`: ``label`` (int8), ``candidate`` and ``production`` (float32,
null where there is no probability), and a column for each entry of ``slices`` in ``pipeline.yaml``
(``slice.device``, ``slice.new_user``) that names the slice each row is in, or null.
"""

from __future__ import annotations

from typing import TypedDict


class Interval(TypedDict):
    """A metric with its two-sided confidence interval."""

    value: float
    low: float
    high: float


class Gain(TypedDict):
    """How much better the candidate is than production on the same rows; positive is always better.

    Keys:
        relative: (candidate - production) / production; for log loss, where less is better, its negative.
        absolute: the difference in the metric's own unit, with the same sign.
        low: lower end of the two-sided confidence interval of ``relative``.
        high: upper end of it.
        standard_error: of ``relative``.
        p_value: two-sided, of the paired test that the models are equal. Null if the test cannot be made
            because the difference has no spread.
        detectable: the relative gain that a sample of this size finds significant four times in five.
    """

    relative: float
    absolute: float
    low: float
    high: float
    standard_error: float
    p_value: float | None
    detectable: float


class Section(TypedDict):
    """Metrics of all held-out rows, or of one slice of them.

    Keys:
        reason: why numbers are missing, in words; null if none is.
        candidate: metric → interval; null if it could not be computed.
        production: the same; null if there is no production, or it could not be computed.
        gain: metric → gain; null if there is nothing to compare.
    """

    rows: int
    positives: int
    reason: str | None
    candidate: dict[str, Interval] | None
    production: dict[str, Interval] | None
    gain: dict[str, Gain] | None


class Evaluation(TypedDict):
    """The whole of ``evaluation.json``."""

    holdout: dict[str, str]
    confidence: float
    rows: int
    positives: int
    overall: Section
    slices: dict[str, Section]
