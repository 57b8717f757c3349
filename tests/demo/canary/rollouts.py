"""Wait for the rollout DAG, which a push starts, and say what it is doing."""

from __future__ import annotations

import time
from typing import Any

from tests.demo.airflow_server import Airflow
from tests.demo.follow import FINISHED, running_step

LIMIT_SECONDS = 900
POLL_SECONDS = 1.0


def follow_rollout(airflow: Airflow, dag_id: str, number: int) -> str:
    """Wait for the end of the run with this number, counted from one, and print its steps.

    Returns:
        Airflow's state of it.

    Raises:
        ProcessFailed: if it has not ended in time.
    """
    shown: list[str] = []

    with airflow.api() as api:

        def is_over() -> bool:
            runs = _runs(api, dag_id)
            if len(runs) < number:
                return False
            _show(running_step(api, runs[number - 1]), shown, started)
            return runs[number - 1]["state"] in FINISHED

        started = time.monotonic()
        airflow.server.wait_until(is_over, LIMIT_SECONDS, f"done with run {number} of {dag_id}", POLL_SECONDS)
        return str(_runs(api, dag_id)[number - 1]["state"])


def _runs(api: Any, dag_id: str) -> list[dict[str, Any]]:
    answer = api.get(f"/dags/{dag_id}/dagRuns", params={"order_by": "run_after"})
    return list(answer.raise_for_status().json()["dag_runs"])


def _show(step: str, shown: list[str], started: float) -> None:
    """Print a step, unless it was the last one that was printed."""
    if shown[-1:] != [step]:
        shown.append(step)
        print(f"rollout  {step:<30} {time.monotonic() - started:5.0f} s", flush=True)
