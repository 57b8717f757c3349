"""Processes that tests start, forked from one that has loaded what takes seconds and has used none of it.

Python has one such server a process, so all files of a worker share it: there is one list of what it loads,
and it must not begin with the settings of the test that happens to be the first.
"""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.context import ForkServerProcess

import pytest

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(
    [
        "ml.release.old_versions",
        "ml.release.publication",
        "ml.release.rollout.promotion",
        "ml.release.run_log",
        "matplotlib.figure",
        "mlflow",
        "tensorflow_data_validation",
    ]
)


def start_unset(process: ForkServerProcess) -> None:
    """Start a process that knows none of the settings which this test has made in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RETRAIN_")]:
            patch.delenv(name)
        process.start()
