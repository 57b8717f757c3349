from __future__ import annotations

import os
import subprocess
import sys

CODE = """
import logging, sys
import ml.validation
assert not {"tensorflow", "tensorflow_data_validation"} & set(sys.modules)
import ml.validation.tfdv
assert not logging.root.handlers
assert logging.root.isEnabledFor(logging.WARNING)
"""


def test_tfdv_is_imported_late_and_quietly() -> None:
    run = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, env={**os.environ}, check=False
    )

    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
