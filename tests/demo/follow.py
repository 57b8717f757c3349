"""Start a backfill and follow its nights while the scheduler runs them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ml.artifact import Window
from ml.store import Store
from tests.demo.airflow_server import Airflow

POLL_SECONDS = 1.0
LIMIT_SECONDS = 1800
FINISHED = ("success", "failed")
MOVING = ("running", "deferred", "queued", "up_for_retry", "scheduled")


# SQLite refuses at once, whatever the timeout, to write in a transaction that has read what another has since
# overwritten. Airflow then takes back what it has made of the backfill, so that it can be asked for again.
LOCKED = "database is locked"


class DatabaseLocked(RuntimeError):
    """Somebody else was writing."""


UNTIL_UNLOCKED = Retrying(
    retry=retry_if_exception_type(DatabaseLocked),
    stop=stop_after_attempt(5),
    wait=wait_random_exponential(0.5, max=5),
    reraise=True,
)


@dataclass(frozen=True)
class Backfill:
    """Some nights of a DAG.

    Attributes:
        dag_id: the DAG.
        first: the first day.
        last: the last day.
        options: further ones of ``airflow backfill create``; by default one night after the other.
        time_zone: the pipeline's.
    """

    dag_id: str
    first: date
    last: date
    options: tuple[str, ...] = ("--max-active-runs", "1")
    time_zone: str = "UTC"

    def create(self, airflow: Airflow, log: Path) -> None:
        """Queue the nights as ``airflow backfill`` does; the DAG is paused until they are started.

        Raises:
            ProcessFailed: if Airflow does not come to know the DAG.
            RuntimeError: if Airflow refuses.
        """
        airflow.wait_for_dag(self.dag_id)
        first, last = (Window.of_day(day, self.time_zone).start for day in (self.first, self.last))
        days = ("--from-date", first.isoformat(), "--to-date", last.isoformat())
        chosen = ("--dag-id", self.dag_id, *days, *self.options)
        for attempt in UNTIL_UNLOCKED:
            with attempt, airflow.command("backfill", "create", *chosen, log=log) as command:
                if command.wait(120):
                    said = command.tail()
                    refusal = DatabaseLocked if LOCKED in said else RuntimeError
                    raise refusal(f"airflow backfill was refused:\n{said}")

    def start(self, airflow: Airflow) -> None:
        """Let the scheduler have the DAG."""
        with airflow.api() as api:
            api.patch(f"/dags/{self.dag_id}", json={"is_paused": False}).raise_for_status()

    def hold(self, airflow: Airflow) -> None:
        """Let the scheduler begin nothing more of the DAG until it is started again."""
        with airflow.api() as api:
            api.patch(f"/dags/{self.dag_id}", json={"is_paused": True}).raise_for_status()


def follow(backfill: Backfill, airflow: Airflow, store: Store) -> list[dict[str, Any]]:
    """Show a line for each night until all are done.

    Returns:
        Airflow's DAG runs, oldest first.

    Raises:
        TimeoutError: if they are not done in half an hour.
    """
    console = Console()
    shown = _Lines(console)
    deadline = time.monotonic() + LIMIT_SECONDS
    pause = threading.Event()
    with airflow.api() as api, shown.progress:
        while time.monotonic() < deadline:
            runs = _nights(api, backfill)
            for run in runs:
                shown.update(run, running_step(api, run), _records(api, run, store))
            if runs and all(run["state"] in FINISHED for run in runs):
                return runs
            pause.wait(POLL_SECONDS)
    raise TimeoutError(f"the nights were not done within {LIMIT_SECONDS} s; see the logs of the scheduler")


class _Lines:
    """One line a night: live in a terminal, otherwise printed whenever the step changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: dict[str, TaskID] = {}
        self._last: dict[str, str] = {}
        self._started: dict[str, float] = {}
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self.progress = Progress(*columns, console=console, disable=not console.is_terminal)

    def update(self, run: dict[str, Any], step: str, records: str) -> None:
        """Show where a night is."""
        night = run["logical_date"][:10]
        if run["state"] == "queued" and night not in self._lines:
            return
        if night not in self._lines:
            self._lines[night] = self.progress.add_task(night, total=1)
            self._started[night] = time.monotonic()
        text = f"night of {night}  {step:<20} {records:>9} records"
        done = run["state"] in FINISHED
        self.progress.update(self._lines[night], description=text, completed=int(done))
        if not self._console.is_terminal and self._last.get(night) != step:
            elapsed = time.monotonic() - self._started[night]
            self._console.print(f"{text}  {elapsed:5.0f} s", highlight=False)
        self._last[night] = step


def _nights(api: Any, backfill: Backfill) -> list[dict[str, Any]]:
    answer = api.get(f"/dags/{backfill.dag_id}/dagRuns", params={"order_by": "logical_date"})
    return [
        run
        for run in answer.raise_for_status().json()["dag_runs"]
        if backfill.first.isoformat() <= run["logical_date"][:10] <= backfill.last.isoformat()
    ]


def running_step(api: Any, run: dict[str, Any]) -> str:
    """What a DAG run is doing: its running step, or how it ended."""
    if run["state"] in FINISHED:
        return "done" if run["state"] == "success" else "stopped"
    tasks = api.get(f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances").json()
    states = {task["task_id"]: task["state"] for task in tasks["task_instances"]}
    moving = [name for state in MOVING for name in states if states[name] == state]
    return moving[0] if moving else "between two tasks"


def _records(api: Any, run: dict[str, Any], store: Store) -> str:
    """How many records the night has landed, once it has."""
    address = f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/land_examples"
    answer = api.get(f"{address}/xcomEntries/return_value", params={"deserialize": True})
    if answer.status_code != 200:
        return "-"
    return f"{store.manifest(answer.json()['value']).facts['accepted']:,}"
