"""The one file that Airflow loads from the plugins folder."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from retraining import run_note


class RetrainingPlugin(AirflowPlugin):
    """A note on every run that says its verdict."""

    name = "retraining"
    listeners = [run_note]  # noqa: RUF012 - the base class declares a plain list
