"""What a night waits for before its first step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import Context

NO_DAY = (
    "the run {run_id} is of no day: it was triggered without a logical date. Expected a run whose data "
    "interval is a day. To run the day D: airflow backfill create --dag-id {dag_id} --from-date D "
    "--to-date D --reprocess-behavior completed --dag-run-conf '{{}}'; see docs/backfills.md."
)


class SettleSensor(TimeDeltaSensor):
    """Waits until late events of the run's day have had their time, and holds no worker meanwhile.

    Args:
        minutes: after the day's end.
    """

    def __init__(self, *, minutes: int, **kwargs: Any) -> None:
        super().__init__(delta=timedelta(minutes=minutes), deferrable=True, **kwargs)

    def execute(self, context: Context) -> Any:
        """Wait for a day; refuse a run without one at once, which Airflow's sensor would wait for too."""
        from ml.errors import Misconfigured

        if context.get("data_interval_end") is None:
            raise Misconfigured(NO_DAY.format(run_id=context["run_id"], dag_id=self.dag_id))
        return super().execute(context)
