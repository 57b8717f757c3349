"""A real Airflow over SQLite, for the demo and the tests: scheduler, dag-processor, triggerer, api-server."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ml.durable import write_atomically
from tests.demo.ports import free_port
from tests.demo.process import ManagedProcess

BUNDLE = Path(__file__).resolve().parents[2]
START_SECONDS = 240
LOCK_SECONDS = 60
HOST, USER = "127.0.0.1", "admin"
# A busy machine may need long to read a DAG file. Airflow would give it up after half a minute, and the tests
# let it read each only once.
PARSE_SECONDS = KNOWN_SECONDS = 300
PAUSE_SECONDS = 0.5
# People and tasks are answered by two processes. Airflow writes its audit log from the event loop: waiting
# for SQLite's lock there, it would keep a task's request in the same process from letting go of that lock.
SERVERS = {"core": "api-server", "execution": "task-api-server"}
# The api-server reads task logs from the disk: no component needs a log server of its own, which would
# listen on every address of the machine.
COMPONENTS = (("scheduler", "--skip-serve-logs"), ("dag-processor",), ("triggerer", "--skip-serve-logs"))
# A task is a process of its own, forked from one that has loaded these, which would take it seconds.
LOADED = ("airflow.executors.local_executor", "tensorflow_data_validation", "mlflow")
# TensorFlow says as little as where `ml` is the first to load it.
QUIET = {"PYTHONWARNINGS": "ignore", "TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclass(frozen=True)
class Airflow:
    """A running Airflow.

    Attributes:
        url: of its pages and its API.
        user: who may log in.
        password: generated, kept in ``passwords_file``.
        environment: what makes the ``airflow`` command talk to this one.
        server: the process behind the API; who waits for something waits with it.
        scheduler: the process that starts tasks; they are its children.
    """

    url: str
    user: str
    password: str
    environment: Mapping[str, str]
    server: ManagedProcess
    scheduler: ManagedProcess

    def api(self) -> httpx.Client:
        """A client of the REST API, logged in."""
        with httpx.Client(base_url=self.url, timeout=60) as client:
            answer = client.post("/auth/token", json={"username": self.user, "password": self.password})
            token = answer.raise_for_status().json()["access_token"]
        return httpx.Client(
            base_url=f"{self.url}/api/v2", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    def command(self, *arguments: str, log: Path) -> ManagedProcess:
        """The ``airflow`` command with these arguments; use it in a ``with`` block."""
        return ManagedProcess(f"airflow {arguments[0]}", airflow(*arguments), log, env=self.environment)

    def wait_for_dag(self, dag_id: str) -> None:
        """Wait until the dag-processor has read a DAG.

        Raises:
            ProcessFailed: if it has not in time.
        """
        with self.api() as api:
            self.wait_until(
                lambda: api.get(f"/dags/{dag_id}").is_success, KNOWN_SECONDS, f"aware of {dag_id}"
            )

    def wait_until(self, ready: Callable[[], object], seconds: float, goal: str) -> None:
        """Wait for what Airflow brings about. A question that it does not answer is asked again.

        Args:
            ready: whether it has; asked at short intervals.
            seconds: for how long.
            goal: what is waited for, as the message names it.

        Raises:
            ProcessFailed: if it has not in time.
        """

        def is_ready() -> object:
            try:
                return ready()
            except httpx.TransportError:
                return False

        self.server.wait_until(is_ready, seconds, goal, PAUSE_SECONDS)


@contextmanager
def running_airflow(
    home: Path, environment: Mapping[str, str], port: int | None = None, bundles: Any = None
) -> Iterator[Airflow]:
    """Run Airflow on 127.0.0.1 while the block runs; its state stays below ``home``.

    Args:
        home: AIRFLOW_HOME.
        environment: further variables for all of its processes, such as ``AIRFLOW_CONN_…``.
        port: a free one by default.
        bundles: the DAG bundles, by default this repository as it is.

    Raises:
        ProcessFailed: if a part does not come up in time.
    """
    home.mkdir(parents=True, exist_ok=True)
    ports = {"core": port or free_port(), "execution": free_port()}
    url, tasks_url = (f"http://{HOST}:{each}" for each in ports.values())
    where = {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{tasks_url}/execution/"}
    everything = {**settings(home, url, bundles), **where, **environment}
    with ExitStack() as stack:
        logs = home / "logs"
        with ManagedProcess("airflow db", airflow("db", "migrate"), logs / "db.log", everything) as migration:
            if migration.wait(START_SECONDS):
                raise RuntimeError(f"Airflow's database could not be made:\n{migration.tail()}")
        servers = {SERVERS[apps]: api_server(apps, each) for apps, each in ports.items()}
        commands = {**servers, **{one[0]: airflow(*one) for one in COMPONENTS}}
        started = {
            name: stack.enter_context(ManagedProcess(name, command, logs / f"{name}.log", everything))
            for name, command in commands.items()
        }
        for process in started.values():
            stack.callback(process.ask_to_end)
        api, tasks_api = (started[name] for name in SERVERS.values())
        api.wait_until(lambda: is_healthy(url), START_SECONDS, "healthy", PAUSE_SECONDS)
        tasks_api.wait_until(lambda: answers_tasks(tasks_url), START_SECONDS, "answering", PAUSE_SECONDS)
        yield Airflow(url, USER, read_password(home), everything, api, started["scheduler"])


def api_server(apps: str, port: int) -> list[str]:
    """The command that runs a part of Airflow's API."""
    return airflow("api-server", "--apps", apps, "--host", HOST, "--port", str(port))


def airflow(*arguments: str) -> list[str]:
    """The ``airflow`` command of this interpreter's environment."""
    return [str(Path(sys.executable).with_name("airflow")), *arguments]


def is_healthy(url: str) -> bool:
    """Whether the API answers and all parts have reported that they live."""
    try:
        report = httpx.get(f"{url}/api/v2/monitor/health", timeout=5).raise_for_status().json()
    except httpx.HTTPError:
        return False
    return all(part["status"] == "healthy" for part in report.values())


def answers_tasks(url: str) -> bool:
    """Whether the API that tasks talk to answers."""
    try:
        return httpx.get(f"{url}/execution/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def settings(home: Path, url: str, bundles: Any = None) -> dict[str, str]:
    """Airflow's settings as variables: local executor, SQLite, this repository as the bundle."""
    repository = {
        "name": "retraining",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(BUNDLE)},
    }
    sections = {
        "CORE": {
            "EXECUTOR": "LocalExecutor",
            "LOAD_EXAMPLES": "False",
            "DAGS_FOLDER": str(BUNDLE / "dags"),
            "PLUGINS_FOLDER": str(BUNDLE / "plugins"),
            "DAGBAG_IMPORT_TIMEOUT": str(PARSE_SECONDS),
            "PARALLELISM": "4",
            "SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords_file(home)),
        },
        "API": {"BASE_URL": url, "SECRET_KEY": secret(home, "api_secret_key"), "WORKERS": "1"},
        "API_AUTH": {"JWT_SECRET": secret(home, "jwt_secret")},
        "DAG_PROCESSOR": {
            "DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles or [repository]),
            "DAG_BUNDLE_STORAGE_PATH": str(home.absolute() / "bundles"),
            "DAG_FILE_PROCESSOR_TIMEOUT": str(PARSE_SECONDS),
        },
        "DATABASE": {"SQL_ALCHEMY_CONN": f"sqlite:///{database(home)}?timeout={LOCK_SECONDS}"},
        "SCHEDULER": {"MP_START_METHOD": "forkserver", "MP_FORKSERVER_PRELOAD": ",".join(LOADED)},
        "WORKERS": {"MIN_HEARTBEAT_INTERVAL": "1"},
        "LOGGING": {"BASE_LOG_FOLDER": str(home.absolute() / "logs")},
        "USAGE_DATA_COLLECTION": {"ENABLED": "False"},
    }
    named = {
        f"AIRFLOW__{part}__{key}": value for part, keys in sections.items() for key, value in keys.items()
    }
    read_password(home)
    return {"AIRFLOW_HOME": str(home.absolute()), **QUIET, **named}


def database(home: Path) -> Path:
    """Airflow's metadata database."""
    return home.absolute() / "airflow.db"


def passwords_file(home: Path) -> Path:
    """Where the simple auth manager reads passwords; made once, readable by its owner only."""
    return home.absolute() / "passwords.json"


def read_password(home: Path) -> str:
    """The generated password of the one user."""
    path = passwords_file(home)
    if not path.exists():
        write_atomically(path, json.dumps({USER: secrets.token_urlsafe(12)}).encode() + b"\n")
        path.chmod(0o600)
    return str(json.loads(path.read_text())[USER])


def secret(home: Path, name: str) -> str:
    """A secret that is generated once and kept, so that what it has sealed can be opened later."""
    path = home.absolute() / "secrets" / name
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(32).encode())
        path.chmod(0o600)
    return path.read_text()
