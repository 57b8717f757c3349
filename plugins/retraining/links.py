"""Buttons on a task's page."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom


class MlflowRunLink(BaseOperatorLink):
    """From the task that logged the night to its MLflow run."""

    name = "MLflow run"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """The run's address, or nothing before it was logged."""
        logged = XCom.get_value(ti_key=ti_key, key="return_value")
        return str(logged["url"]) if logged else ""
