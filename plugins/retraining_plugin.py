"""The one file that Airflow loads from the plugins folder."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from retraining import finished_backfills, run_note


class RetrainingPlugin(AirflowPlugin):
    """A note on every run that says its verdict, and one report of every backfill."""

    name = "retraining"
    listeners = [run_note, finished_backfills]  # noqa: RUF012 - the base class declares a plain list
