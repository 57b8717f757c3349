"""Describing a landed day, holding it against the reviewed schema, and measuring drift.

::

    statistics   landed day → TFDV's statistics and exact counts, in one streaming pass
    anomalies    statistics, schema → findings in words, with the records that they are about
    drift        two sets of statistics → divergence in bits, feature by feature
    comparison   two days' statistics → what changed in each field, for a person
    kept_schema  the schema that a night was held against, to compare with and to go back to
    schema_tools landed day → a proposal for the schema, for a person to review

TFDV's import takes seconds, so it waits for the functions that need it; drift is measured without.
"""

from ml.validation.anomalies import check_examples, validate_examples
from ml.validation.comparison import Comparison, compare_statistics
from ml.validation.comparison_page import compare_page
from ml.validation.drift import measure_drift
from ml.validation.kept_schema import compare_schema, restore_schema
from ml.validation.schema_tools import diff_schema, infer_schema
from ml.validation.statistics import compute_statistics

__all__ = [
    "Comparison",
    "check_examples",
    "compare_page",
    "compare_schema",
    "compare_statistics",
    "compute_statistics",
    "diff_schema",
    "infer_schema",
    "measure_drift",
    "restore_schema",
    "validate_examples",
]
