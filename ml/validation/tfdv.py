"""TensorFlow Data Validation, imported without its noise.

The import takes about six seconds, so modules import this one inside the functions that need it. While
it runs, TFDV, Beam and TensorFlow complain of a missing notebook, of cloud clients and of absent GPUs;
none of it concerns us. Errors of the import itself are raised as ever.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Hush Python's warnings, log lines and standard error, and leave logging as it was."""
    handlers, disabled = logging.root.handlers[:], logging.root.manager.disable
    level = os.environ.get(LOG_LEVEL, "0")
    logging.disable(logging.WARNING)
    os.environ[LOG_LEVEL] = "3"
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.handlers[:] = handlers
        logging.disable(disabled)
        os.environ[LOG_LEVEL] = level


with _silence():
    from tensorflow_data_validation import infer_schema, update_schema, validate_statistics
    from tensorflow_data_validation.statistics.generators.basic_stats_generator import BasicStatsGenerator
    from tensorflow_data_validation.statistics.stats_impl import extract_statistics_output
    from tensorflow_data_validation.utils.display_util import get_statistics_html
    from tfx_bsl.sketches import KmvSketch  # type: ignore[import-untyped]

__all__ = [
    "BasicStatsGenerator",
    "KmvSketch",
    "extract_statistics_output",
    "get_statistics_html",
    "infer_schema",
    "update_schema",
    "validate_statistics",
]
