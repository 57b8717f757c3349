"""Everything that a night needs, on this machine: broker, MLflow, model server, Airflow."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.demo.airflow_server import Airflow, running_airflow
from tests.demo.broker import running_broker
from tests.demo.mlflow_server import running_mlflow
from tests.demo.model_server.process import ModelServerProcess, running_model_server
from tests.demo.process import free_port, listens


@dataclass(frozen=True)
class Services:
    """Where the outside world of a pipeline is.

    Attributes:
        bootstrap: the broker.
        mlflow: address of the MLflow server.
        serving: the model server.
        models: the directory that it shares with us.
    """

    bootstrap: str
    mlflow: str
    serving: ModelServerProcess
    models: Path

    def airflow_connections(self) -> dict[str, str]:
        """The same as variables that Airflow reads Connections from."""
        mlflow_host, mlflow_port = self.mlflow.removeprefix("http://").split(":")
        host, port = self.serving.rest.removeprefix("http://").split(":")
        connections = {
            "KAFKA": {"conn_type": "kafka", "extra": {"bootstrap.servers": self.bootstrap}},
            "MLFLOW": {"conn_type": "http", "host": mlflow_host, "port": int(mlflow_port)},
            "SERVING": {"conn_type": "http", "host": host, "port": int(port), "extra": self._serving_extra()},
        }
        return {f"AIRFLOW_CONN_{name}_DEFAULT": json.dumps(value) for name, value in connections.items()}

    def command_line_connections(self) -> dict[str, str]:
        """The same as variables that ``python -m ml`` reads."""
        connections = {
            "KAFKA": {"config": {"bootstrap.servers": self.bootstrap}},
            "MLFLOW": {"uri": self.mlflow},
            "SERVING": {"rest": self.serving.rest, **self._serving_extra()},
        }
        return {f"RETRAIN_{name}": json.dumps(value) for name, value in connections.items()}

    def _serving_extra(self) -> dict[str, str]:
        return {
            "grpc": self.serving.grpc,
            "models_dir": str(self.models),
            "server_models_dir": str(self.models),
            "config_file": str(self.models / "models.config"),
        }


@dataclass(frozen=True)
class Ports:
    """Where the pages are served."""

    airflow: int
    mlflow: int

    @classmethod
    def choose(cls, last: Mapping[str, int]) -> Ports:
        """Those that ``AIRFLOW_PORT`` and ``MLFLOW_PORT`` ask for, else the last ones, else free ones.

        Args:
            last: the ports of the demo that made the state, because its links lead there.

        Raises:
            SystemExit: if a port that a variable asks for is taken.
        """
        chosen = {
            name: wanted_port(f"{name.upper()}_PORT") or last.get(name) for name in ("airflow", "mlflow")
        }
        return cls(
            **{name: port if port and not listens(port) else free_port() for name, port in chosen.items()}
        )


def wanted_port(variable: str) -> int | None:
    """The port that a variable asks for, if it does and nobody has it."""
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.isdigit():
        sys.exit(f"{variable} is {text!r}; expected a port number. Unset it to take any free port.")
    if listens(int(text)):
        sys.exit(
            f"port {text} is taken by another program; expected it free, because {variable} asks for it. "
            f"Choose another, or unset {variable} to take any free port."
        )
    return int(text)


@contextmanager
def running_services(home: Path, mlflow_port: int | None = None) -> Iterator[Services]:
    """Run broker, MLflow and model server while the block runs; state and logs stay below ``home``."""
    models = (home / "serving").absolute()
    models.mkdir(parents=True, exist_ok=True)
    config = models / "models.config"
    if not config.exists():
        config.write_text("model_config_list {}\n")
    logs = home / "logs"
    with (
        running_broker(logs) as broker,
        running_mlflow(home / "mlflow", mlflow_port) as mlflow,
        running_model_server(config, log=logs / "model-server.log") as serving,
    ):
        yield Services(broker.bootstrap, mlflow, serving, models)


@contextmanager
def running_stack(
    home: Path, ports: Ports, overrides: Mapping[str, str]
) -> Iterator[tuple[Services, Airflow]]:
    """Run the services and an Airflow that knows them.

    Args:
        home: RETRAIN_HOME.
        ports: of the pages.
        overrides: ``RETRAIN_…`` settings of the pipelines.
    """
    with running_services(home, ports.mlflow) as services:
        environment = {
            "RETRAIN_HOME": str(home.absolute()),
            **services.airflow_connections(),
            **overrides,
        }
        with running_airflow(home / "airflow", environment, ports.airflow) as airflow:
            yield services, airflow
