"""Backfills: what running some days again would do, said before it is done.

::

    archive   what the store holds of a pipeline: what was made of what, when, and how long it took
    asked     what the days would be run with, and what that decides
    reasons   why an artifact would be made: which setting, input, schema or revision differs
    chain     one day's artifacts by the identities that the steps would use
    trace     which follows from which, without running any
    outlook   what a day could publish
    plan      all of it for some days, as JSON
    page      the same for a person
"""

from ml.backfill.asked import Asked
from ml.backfill.page import render_plan
from ml.backfill.plan import plan_backfill

__all__ = ["Asked", "plan_backfill", "render_plan"]
