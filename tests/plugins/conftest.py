from __future__ import annotations

import os
import tempfile

# Airflow makes its home when it is first imported, which is when a test of this folder is collected.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
