"""A canary judged once more by what its users did, when their clicks have landed.

::

    join       which answer an event came of
    rows       a day's events joined to its answers, an hour at a time
    tracks     what the users of both tracks did
    judgement  confirmed, doubted or inconclusive
    report     ``realised.json``
"""

from ml.evaluation.realised.report import judge_realised
from ml.evaluation.realised.rows import Day

__all__ = ["Day", "judge_realised"]
