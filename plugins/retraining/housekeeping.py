"""The tasks of a housekeeping."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import Context

from retraining.operators import StepOperator

log = logging.getLogger(__name__)


class HousekeepingOperator(StepOperator):
    """Runs a step of housekeeping, and shows in the log what goes and what stays, and why."""

    def execute(self, context: Context) -> Any:
        """Return what the step returned."""
        done = super().execute(context)
        from ml import steps

        log.info("%s", steps.render_housekeeping(done))
        return done
