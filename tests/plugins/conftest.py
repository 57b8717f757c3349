from __future__ import annotations

import os
from pathlib import Path

# Airflow reads these when it is first imported, which is when a test of this folder is collected.
ROOT = Path(__file__).parents[2]
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "True")
