"""What a backfill must come to, in whatever order it runs: the artifacts of a walk from day to day."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow import MlflowClient

from ml.artifact import Window
from ml.errors import DataRejected
from ml.manifest import MANIFEST, Manifest
from ml.pipelines import load_pipeline
from ml.release.run_labels import RUN_KEY
from ml.release.run_log import read_json
from ml.release.tries import FILE, Try
from ml.store import PARTIAL, Store
from ml.walk import Walk
from tests.demo.follow import FINISHED, Backfill
from tests.demo.stack import Services
from tests.integration.airflow_nights import NIGHT_SECONDS, Run, World

PIPELINE, NIGHTS, REPORTS = "clicks", "retrain_clicks", "report_backfill_clicks"

# What a night makes of the topic alone. What it measures against production depends on what is served.
KINDS = ("offsets", "examples", "statistics", "anomalies", "training_window", "model")
ANSWER_SECONDS = 60


@contextmanager
def settings(home: Path, services: Services, chosen: Mapping[str, str]) -> Iterator[None]:
    """Let this process see a pipeline's settings and servers while the block runs."""
    variables = {"RETRAIN_HOME": str(home), **services.command_line_connections(), **chosen}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


def walk_forward(pipeline: str, days: Sequence[date]) -> None:
    """Make a model of each day, one day after the other, without Airflow."""
    zone = load_pipeline(pipeline).landing.time_zone
    for day in days:
        with suppress(DataRejected):  # a damaged day comes to no model, here as there
            assert Walk(pipeline, Window.of_day(day, zone)).train_candidate


def digests(store: Store, pipeline: str, kinds: Sequence[str] = KINDS) -> dict[str, str]:
    """The digest of every artifact of these kinds, by ``<kind>/<day>-<key>``."""
    paths = [path for kind in kinds for path in (store.root / pipeline / kind).glob(f"*/{MANIFEST}")]
    found = {f"{path.parts[-3]}/{path.parts[-2]}": json.loads(path.read_bytes()) for path in paths}
    return {name: manifest["digest"] for name, manifest in sorted(found.items())}


def check_store(store: Store, pipeline: str) -> None:
    """Read every artifact as a step would, and look for files of what was only begun.

    Raises:
        StoreCorrupted: naming the file that is missing or differs.
    """
    for path in (store.root / pipeline).glob(f"*/*/{MANIFEST}"):
        store.open(Manifest.read(path).artifact)
    begun = [path for path in store.root.rglob("*") if PARTIAL in str(path) and path.is_file()]
    assert begun == []


def wrong_moves(moves: Sequence[Mapping[str, Any]]) -> list[tuple[Any, Any]]:
    """Each move of a label, with the one before it, that went back in time or began elsewhere."""
    return [
        (before, after)
        for before, after in pairwise(moves)
        if after["watermark"] <= before["watermark"] or after["from"] != before["to"]
    ]


@dataclass
class Story:
    """What happens to the days of the topic, one backfill after the other.

    Attributes:
        world: with an Airflow over PostgreSQL.
        logs: of the commands.
        seconds: how long to wait for anything at most.
        created: how many backfills there were; Airflow counts them in the same way.
    """

    world: World
    logs: Path
    seconds: float = NIGHT_SECONDS
    created: int = field(default=0)

    @property
    def nights(self) -> list[Run]:
        """By day."""
        return self.world.runs(NIGHTS)

    @property
    def reports(self) -> list[Run]:
        """Of the backfills."""
        return self.world.runs(REPORTS)

    @property
    def by_day(self) -> dict[str, Run]:
        """The nights."""
        return {run.night: run for run in self.nights}

    @property
    def states(self) -> dict[str, str]:
        """How far each day is."""
        return {self.world.night_of(record): record["state"] for record in self.world.records(NIGHTS)}

    def begun_since(self, moment: datetime) -> set[str]:
        """The days whose nights were begun, or begun again, after this moment."""
        records = self.world.records(NIGHTS)
        begun = {self.world.night_of(record): record["start_date"] for record in records}
        return {day for day, at in begun.items() if at and datetime.fromisoformat(at) > moment}

    @property
    def logged(self) -> list[tuple[str, str]]:
        """The nights in MLflow: run keys and run ids."""
        runs = self.world.mlflow_runs(PIPELINE)
        return sorted((run.data.tags[RUN_KEY], run.info.run_id) for run in runs)

    @property
    def moves(self) -> list[dict[str, Any]]:
        """Every move of the label that users' requests name, oldest first, as the ledger has it."""
        return [line for line in self.world.ledger(PIPELINE) if line["event"] == "moved"]

    @property
    def serving(self) -> int | None:
        """The version that users are answered by."""
        serving = load_pipeline(PIPELINE).serving
        address = (
            f"{self.world.services.serving.rest}/v1/models/{serving.model}/labels/{serving.label}/metadata"
        )
        answer = httpx.get(address, timeout=ANSWER_SECONDS)
        return int(answer.json()["model_spec"]["version"]) if answer.is_success else None

    @property
    def tries(self) -> dict[str, int]:
        """How often Airflow has begun each day."""
        return {day: run.tasks["wait_for_settle"]["try_number"] for day, run in self.by_day.items()}

    @property
    def logged_tries(self) -> dict[str, list[Try]]:
        """What MLflow tells of each day's tries, oldest try first."""
        client = MlflowClient(self.world.services.mlflow)
        runs = self.world.mlflow_runs(PIPELINE)
        return {run.data.tags["day"]: read_json(client, run.info.run_id, FILE) for run in runs}

    def create(self, first: date, last: date, *options: str) -> int:
        """Create a backfill, as an engineer does, and return its id."""
        self.wait_until(self.is_free, "done with the last backfill: Airflow allows one at a time")
        self.created += 1
        log = self.logs / f"backfill-{self.created}.log"
        backfill = Backfill(NIGHTS, first, last, options, self.world.time_zone)
        backfill.create(self.world.airflow, log)
        return self.created

    def cancel(self, backfill: int) -> None:
        """Cancel a backfill, as a person does in the UI: what runs may end, what is queued has failed."""
        self.world.api.put(f"/backfills/{backfill}/cancel").raise_for_status()

    def clear(self, day: str) -> Run:
        """Clear all tasks of a day's night, as a person does in the UI."""
        night = self.by_day[day]
        night.post("/clear", dry_run=False)
        return night

    def mark_as_failed(self, day: str) -> None:
        """Mark a day's night as failed, as a person does in the UI."""
        self.by_day[day].patch("", state="failed")

    def delete(self, day: str) -> None:
        """Delete a day's night from Airflow, as a person does in the UI."""
        self.world.api.delete(f"/dags/{NIGHTS}/dagRuns/{self.by_day[day].run_id}").raise_for_status()

    def running(self, task_id: str) -> list[Run]:
        """The nights in which this task runs now."""
        asked = {"task_id": task_id, "state": "running"}
        answer = self.world.api.get(f"/dags/{NIGHTS}/dagRuns/~/taskInstances", params=asked)
        found = answer.raise_for_status().json()["task_instances"]
        return [Run(self.world, NIGHTS, task["dag_run_id"]) for task in found]

    def is_free(self) -> bool:
        """Whether a backfill may be created; Airflow looks twice a minute whether one is over."""
        answer = self.world.api.get("/backfills", params={"dag_id": NIGHTS}).raise_for_status()
        return all(backfill["completed_at"] for backfill in answer.json()["backfills"])

    def wait_until(self, ready: Callable[[], Any], goal: str) -> None:
        """Wait for what Airflow brings about."""
        self.world.wait_until(ready, goal, self.seconds)

    def wait(self, reports: int) -> None:
        """Wait until all that was begun is over, and so many backfills were reported."""
        self.wait_until(lambda: self.is_over(reports), f"done with all nights and {reports} reports")

    def is_over(self, reports: int) -> bool:
        """Whether nothing is left to run, and so many backfills were reported."""
        reported = [record["state"] for record in self.world.records(REPORTS)]
        return len(reported) == reports and {*self.states.values(), *reported} <= set(FINISHED)
