"""Taking away what is no longer needed, and nothing else.

::

    holdings   what the store holds, and what refers to what
    limits     how long each kind is kept for its own sake
    roots      what must stay whatever its age
    plan       what may go and what stays, each with its reason
    removing   out of sight in one move, then off the disk
    house      one pipeline's housekeeping, from the first look to the last byte
    page       the plan for a person

The versions on the model servers' disks are looked after by `ml.release.old_versions`.
"""

from ml.housekeeping.house import House, housekeep, plan_housekeeping
from ml.housekeeping.page import render_plan, summarise

__all__ = ["House", "housekeep", "plan_housekeeping", "render_plan", "summarise"]
