"""Describing a landed day, holding it against the reviewed schema, and measuring drift.

::

    statistics   landed day → TFDV's statistics and exact counts, in one streaming pass
    anomalies    statistics, schema → findings in words, with the records that they are about
    drift        two sets of statistics → divergence in bits, feature by feature
    schema_tools landed day → a proposal for the schema, for a person to review

TFDV's import takes seconds, so it waits for the functions that need it; drift is measured without.
"""

from ml.validation.anomalies import check_examples, validate_examples
from ml.validation.drift import measure_drift
from ml.validation.schema_tools import diff_schema, infer_schema
from ml.validation.statistics import compute_statistics

__all__ = [
    "check_examples",
    "compute_statistics",
    "diff_schema",
    "infer_schema",
    "measure_drift",
    "validate_examples",
]
