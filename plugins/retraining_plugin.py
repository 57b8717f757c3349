"""The one file that Airflow loads from the plugins folder."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from retraining import failed_runs, finished_backfills, run_note


class RetrainingPlugin(AirflowPlugin):
    """A note on every run, one report of every backfill, and a message of every failure."""

    name = "retraining"
    # Airflow calls the last one first, and none after one that raises: what wakes a person comes first.
    listeners = [run_note, finished_backfills, failed_runs]  # noqa: RUF012 - the base class declares a plain list
