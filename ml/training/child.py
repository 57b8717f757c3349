"""A child process of a training: ``python -m ml.training.child WORK PLAN PARENT``.

It ends with its parent, and sees to that before it loads TensorFlow. Its standard output is for a person.
The exit code is 0 when the work is done; after `MISCONFIGURED` the plan's failure file says why another
try is in vain; any other end means that the process was lost.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import signal
import sys
from pathlib import Path

from ml.durable import write_atomically
from ml.errors import Misconfigured
from ml.training.plan import Plan

PR_SET_PDEATHSIG = 1
MISCONFIGURED = 78
WORK = {"train": "ml.training.worker", "export": "ml.training.export"}


def main(work: str, plan_path: str, parent: str) -> int:
    """Do one kind of work of a plan.

    Args:
        work: one of `WORK`.
        plan_path: where the plan was written.
        parent: the process id of the launcher.

    Returns:
        The exit code.
    """
    end_with(int(parent))
    log_to_parent()
    plan = Plan.model_validate_json(Path(plan_path).read_bytes())
    try:
        getattr(importlib.import_module(WORK[work]), work)(plan)
    except Misconfigured as error:
        write_atomically(plan.failure, str(error).encode())
        return MISCONFIGURED
    return 0


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, and end now if it has ended already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the process that started this one has ended")


def log_to_parent() -> None:
    """Send our own log lines, and nobody else's, to standard output."""
    ours = logging.getLogger("ml")
    ours.addHandler(logging.StreamHandler(sys.stdout))
    ours.setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
