"""Which failures a retry can help. ``ml`` sorts its errors by what to do next; Airflow learns it by name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

RETRY_WHERE_IT_HELPS = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=["ml.errors.Unavailable", "ml.errors.Interrupted"],
            action=RetryAction.RETRY,
            reason="something outside was lost or did not answer; what is done stays done",
        ),
        RetryRule(
            exception="ml.errors.RetrainingError",
            action=RetryAction.FAIL,
            reason="the same try would end the same way; see the message for what to do",
        ),
        RetryRule(
            exception="builtins.OSError",
            action=RetryAction.RETRY,
            reason="the machine (disk, memory, network) may recover",
        ),
        RetryRule(
            exception="builtins.Exception",
            action=RetryAction.FAIL,
            reason="unexpected, so a fault of the code: a retry would hide it",
        ),
    ]
)
"""A task that is killed raises nothing and is retried as ``retries`` says."""

RETRIES: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": RETRY_WHERE_IT_HELPS,
}
