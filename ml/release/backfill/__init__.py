"""A backfill's run in MLflow: what it would change, day by day.

::

    nights   each night of it: what it came to before, and what it came to now
    table    the same as rows, in words and as one sentence
    plot     the same as a picture
    report   the parent run that holds all three, and the nights below it
"""

from ml.release.backfill.nights import Backfill
from ml.release.backfill.report import ReportedBackfill, read_backfill, report_backfill

__all__ = ["Backfill", "ReportedBackfill", "read_backfill", "report_backfill"]
