"""Nights that a real Airflow runs: small days of the click log, and what came of their DAG runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import yaml
from mlflow import MlflowClient

from ml.pipelines import load_pipeline
from ml.release.ledger import Ledger
from ml.release.run_labels import KIND, NIGHT
from ml.store import Store
from tests.demo.afternoon import TIME_ZONE
from tests.demo.airflow_server import Airflow, running_airflow
from tests.demo.clicks import Day
from tests.demo.follow import FINISHED
from tests.demo.produce import fill_topic
from tests.demo.stack import BrokerName, Services, pipeline_settings, running_services

CLICKS = Path(__file__).parents[2] / "ml" / "pipelines" / "clicks"
RECORDS = 8_000
STEPS = [
    "resolve_production",
    "land_examples",
    "compute_statistics",
    "validate_examples",
    "measure_drift",
    "gather_window",
    "train_candidate",
    "evaluate_candidate",
    "decide_blessing",
    "log_to_mlflow",
    "push_model",
]
ASK, WAITING = "ask_for_approval", "awaiting_input"
# Who tells of a run that failed without a word, and what a task that has told leaves its word under.
TELLER, TOLD = "tell_of_failed_runs", "told"
NIGHT_SECONDS = 900

# Days of 8,000 clicks: a smaller model learns from one of them, and a gate judges it on some 2,000 rows.
SMALL = {
    "RETRAIN_LANDING__SETTLE_MINUTES": "0",
    "RETRAIN_TRAINING__WINDOW_DAYS": "1",
    "RETRAIN_TRAINING__HIDDEN_UNITS": "[16]",
    "RETRAIN_GATE__MIN_EXAMPLES": "500",
    "RETRAIN_GATE__MIN_SLICE_EXAMPLES": "200",
    "RETRAIN_GATE__FLOORS": "{auc: 0.5, calibration_low: 0.2, calibration_high: 5.0}",
}

# A DAG file is read once, and again when somebody asks for it, instead of twice a minute. The scheduler looks
# twice a second for a task whose upstream is done.
ATTENTIVE = {
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    "AIRFLOW__DAG_PROCESSOR__FILE_PARSING_SORT_MODE": "alphabetical",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
}


@dataclass(frozen=True)
class World:
    """What the nights happen in.

    Attributes:
        services: broker, MLflow and model server.
        airflow: that runs them.
        api: its REST API, logged in.
        store: what the nights have made.
    """

    services: Services
    airflow: Airflow
    api: httpx.Client
    store: Store

    @property
    def time_zone(self) -> str:
        """The pipelines'."""
        return self.airflow.environment.get(TIME_ZONE, "UTC")

    def night_of(self, record: Mapping[str, Any]) -> str:
        """The day whose log a DAG run processes, from what the API tells of the run."""
        begins = datetime.fromisoformat(record["logical_date"])
        return begins.astimezone(ZoneInfo(self.time_zone)).date().isoformat()

    @property
    def scheduler_log(self) -> Path:
        """What the scheduler says."""
        return Path(self.airflow.environment["AIRFLOW_HOME"]) / "logs" / "scheduler.log"

    def runs(self, dag_id: str) -> list[Run]:
        """The DAG runs, oldest night first."""
        return [Run(self, dag_id, record["dag_run_id"]) for record in self.records(dag_id)]

    def records(self, dag_id: str) -> list[dict[str, Any]]:
        """The same as the API tells of them."""
        answer = self.api.get(f"/dags/{dag_id}/dagRuns", params={"order_by": "logical_date", "limit": 100})
        return list(answer.raise_for_status().json()["dag_runs"])

    def read_again(self, dag_id: str) -> None:
        """Have the bundle refreshed and a DAG's file read at once, as a person does in the UI."""
        token = self.api.get(f"/dags/{dag_id}").raise_for_status().json()["file_token"]
        self.api.put(f"/parseDagFile/{token}").raise_for_status()

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler have a DAG: it runs the last complete night at once."""
        self.airflow.wait_for_dag(dag_id)
        self._patch(dag_id, is_paused=False)

    def pause(self, dag_id: str) -> None:
        """Let the scheduler begin nothing more of a DAG."""
        self._patch(dag_id, is_paused=True)

    def only_run(self, dag_id: str) -> Run:
        """The one run of a DAG, which the scheduler makes of itself once it has the DAG."""
        self.unpause(dag_id)
        self.wait_until(lambda: self.runs(dag_id), f"running {dag_id}")
        return self.runs(dag_id)[0]

    def trigger(self, dag_id: str, **params: Any) -> Run:
        """Start a DAG by hand, whether it was paused or not."""
        self.unpause(dag_id)
        return self.start(dag_id, **params)

    def start(self, dag_id: str, **params: Any) -> Run:
        """Start a DAG that is not paused."""
        answer = self.ask_for_run(dag_id, **params).raise_for_status()
        return Run(self, dag_id, answer.json()["dag_run_id"])

    def ask_for_run(self, dag_id: str, night: str | None = None, **params: Any) -> httpx.Response:
        """The answer to who starts a DAG by hand; a DAG that is paused lets the run wait."""
        asked = {"logical_date": night, "conf": params}
        return self.api.post(f"/dags/{dag_id}/dagRuns", json=asked)

    def connect_kafka(self, connection_id: str, bootstrap: str) -> None:
        """Add a Connection to brokers, as a person does under Admin."""
        extra = json.dumps({"bootstrap.servers": bootstrap})
        added = {"connection_id": connection_id, "conn_type": "kafka", "extra": extra}
        self.api.post("/connections", json=added).raise_for_status()

    def wait_until(self, ready: Any, goal: str, seconds: float = NIGHT_SECONDS) -> None:
        """Wait for what Airflow brings about."""
        self.airflow.wait_until(ready, seconds, goal)

    def served_versions(self, model: str) -> dict[str, str]:
        """The versions of a model that the model server knows, with their states; none of an unknown one."""
        answer = httpx.get(f"{self.services.serving.rest}/v1/models/{model}", timeout=30)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return {}
        statuses = answer.raise_for_status().json()["model_version_status"]
        return {status["version"]: status["state"] for status in statuses}

    def mlflow_runs(self, experiment: str) -> list[Any]:
        """The logged nights of a pipeline. A backfill's own run is none of them."""
        client = MlflowClient(self.services.mlflow)
        found = client.get_experiment_by_name(experiment)
        nights = f"tags.`{KIND}` = '{NIGHT}'"
        return list(client.search_runs([found.experiment_id], nights)) if found else []

    def ledger(self, pipeline: str) -> list[dict[str, Any]]:
        """The lines of a pipeline's ledger."""
        return Ledger(load_pipeline(pipeline), self.store).entries()

    def registered_versions(self, model: str) -> list[str]:
        """The versions of a registered model."""
        client = MlflowClient(self.services.mlflow)
        return sorted(version.version for version in client.search_model_versions(f"name='{model}'"))

    def _patch(self, dag_id: str, **settings: Any) -> None:
        self.api.patch(f"/dags/{dag_id}", json=settings).raise_for_status()


@dataclass(frozen=True)
class Run:
    """A DAG run as the REST API tells of it.

    Attributes:
        world: where it runs.
        dag_id: the DAG.
        run_id: the run.
    """

    world: World
    dag_id: str
    run_id: str

    def get(self, path: str = "", **parameters: Any) -> Any:
        """The answer of an address below the run's own."""
        return self._ask("GET", path, params=parameters)

    def post(self, path: str, **content: Any) -> Any:
        """The answer of an address below the run's own."""
        return self._ask("POST", path, json=content)

    def patch(self, path: str, **content: Any) -> Any:
        """The answer of an address below the run's own."""
        return self._ask("PATCH", path, json=content)

    @property
    def night(self) -> str:
        """The day whose log was processed."""
        return self.world.night_of(self.get())

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """The task instances by task id."""
        return {task["task_id"]: task for task in self.get("/taskInstances")["task_instances"]}

    @property
    def states(self) -> dict[str, str]:
        """The state of each task."""
        return {name: task["state"] for name, task in self.tasks.items()}

    @property
    def outputs(self) -> dict[str, Any]:
        """What each task has returned, or left behind as evidence."""
        entries = self.get("/taskInstances/~/xcomEntries", xcom_key="return_value", limit=100)
        return {entry["task_id"]: self.output(entry["task_id"]) for entry in entries["xcom_entries"]}

    def output(self, task_id: str, key: str = "return_value") -> Any:
        """What a task has handed on."""
        return self.get(f"/taskInstances/{task_id}/xcomEntries/{key}", deserialize=True)["value"]

    def log(self, task_id: str, attempt: int = 1) -> list[dict[str, Any]]:
        """The events of a task's log."""
        answer = self.get(f"/taskInstances/{task_id}/logs/{attempt}", full_content=True)
        return [event for event in answer["content"] if isinstance(event, dict)]

    def log_text(self, task_id: str, attempt: int = 1) -> str:
        """The same as text."""
        events = self.log(task_id, attempt)
        return "\n".join(f"{event['event']} {event.get('error_detail', '')}" for event in events)

    def wait(self) -> Run:
        """Wait until the run is over."""
        self.world.wait_until(lambda: self.get()["state"] in FINISHED, f"done with {self.run_id}")
        return self

    def clear(self, task_id: str) -> None:
        """Have a task and all that follows it done again."""
        chosen = {"dag_run_id": self.run_id, "task_ids": [task_id], "include_downstream": True}
        everything = {"dry_run": False, "only_failed": False, "reset_dag_runs": True, **chosen}
        url = f"/dags/{self.dag_id}/clearTaskInstances"
        self.world.api.post(url, json=everything).raise_for_status()

    def wait_for_question(self) -> dict[str, Any]:
        """Wait until a person is asked and may answer; return the question.

        Airflow takes an answer for the loss of the try if it comes before the scheduler has taken in that the
        task waits.
        """
        self.world.wait_until(lambda: self.states.get(ASK) == WAITING, f"asking in {self.run_id}")
        words = f"ti_id={self.tasks[ASK]['id']}, ", f", state={WAITING}, "
        log = self.world.scheduler_log

        def is_known() -> bool:
            return any(all(word in line for word in words) for line in log.read_text().splitlines())

        self.world.wait_until(is_known, f"aware that {self.run_id} waits")
        return dict(self.get(f"/taskInstances/{ASK}/-1/hitlDetails"))

    def answer(self, option: str) -> None:
        """Answer the question, as a person does under Required Actions."""
        self.patch(f"/taskInstances/{ASK}/-1/hitlDetails", chosen_options=[option], params_input={})

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        url = f"/dags/{self.dag_id}/dagRuns/{self.run_id}{path}"
        return self.world.api.request(method, url, **content).raise_for_status().json()


@contextmanager
def running_world(
    home: Path,
    days: Sequence[Day],
    environment: Mapping[str, str],
    bundles: Any = None,
    broker: BrokerName = "tansu",
) -> Iterator[World]:
    """Run all that a night needs, with the logs of some days in the topic, while the block runs.

    Args:
        home: RETRAIN_HOME.
        days: of the click log.
        environment: further variables for all processes of Airflow.
        bundles: the DAG bundles, by default this repository as it is.
        broker: see `running_services`.
    """
    with running_services(home, broker=broker) as services:
        fill_topic(days, services.bootstrap, "clicks", partitions=3)
        with running_airflow_over(
            services, home, {**pipeline_settings(broker), **environment}, bundles
        ) as world:
            yield world


@contextmanager
def running_airflow_over(
    services: Services, home: Path, environment: Mapping[str, str], bundles: Any = None
) -> Iterator[World]:
    """Run an Airflow that knows these services while the block runs; see `running_world`."""
    everything = {"RETRAIN_HOME": str(home), **services.airflow_connections(), **ATTENTIVE, **SMALL}
    with (
        running_airflow(home / "airflow", {**everything, **environment}, bundles=bundles) as airflow,
        airflow.api() as api,
    ):
        yield World(services, airflow, api, Store(home / "store"))


def copy_pipeline(folder: Path, name: str, **changes: dict[str, Any]) -> None:
    """Make a further pipeline folder out of the one for clicks, with other values for some keys."""
    settings = yaml.safe_load((CLICKS / "pipeline.yaml").read_text())
    settings["serving"]["model"] = name
    for section, values in changes.items():
        settings[section] |= values
    (folder / name).mkdir(parents=True)
    (folder / name / "pipeline.yaml").write_text(yaml.safe_dump(settings))
    (folder / name / "schema.pbtxt").write_bytes((CLICKS / "schema.pbtxt").read_bytes())
