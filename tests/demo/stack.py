"""Everything that a night needs, on this machine: broker, MLflow, model server, Airflow."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from tests.demo.airflow_server import Airflow, running_airflow
from tests.demo.broker import Broker, running_broker
from tests.demo.kafka import Kafka, running_kafka, what_is_missing
from tests.demo.mlflow_server import running_mlflow
from tests.demo.model_server.process import ModelServerProcess, starting_model_server
from tests.demo.ports import free_port, listens

BrokerName = Literal["tansu", "kafka"]
MODEL_CONFIG = "models.config"


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
        extra = serving_extra(self.serving, self.models / MODEL_CONFIG)
        return airflow_variables(
            KAFKA={"conn_type": "kafka", "extra": {"bootstrap.servers": self.bootstrap}},
            MLFLOW=http_connection(self.mlflow),
            SERVING=http_connection(self.serving.rest, extra),
        )

    def command_line_connections(self) -> dict[str, str]:
        """The same as variables that ``python -m ml`` reads."""
        connections = {
            "KAFKA": {"config": {"bootstrap.servers": self.bootstrap}},
            "MLFLOW": {"uri": self.mlflow},
            "SERVING": {
                "rest": self.serving.rest,
                **serving_extra(self.serving, self.models / MODEL_CONFIG),
            },
        }
        return {f"RETRAIN_{name}": json.dumps(value) for name, value in connections.items()}


def airflow_variables(**connections: dict[str, Any]) -> dict[str, str]:
    """Variables that Airflow reads the Connections ``<name>_default`` from."""
    return {f"AIRFLOW_CONN_{name}_DEFAULT": json.dumps(value) for name, value in connections.items()}


def http_connection(address: str, extra: Mapping[str, str] | None = None) -> dict[str, Any]:
    """An Airflow Connection to ``http://host:port``."""
    host, port = address.removeprefix("http://").split(":")
    return {"conn_type": "http", "host": host, "port": int(port), "extra": dict(extra or {})}


def serving_extra(server: ModelServerProcess, config_file: Path) -> dict[str, str]:
    """What a connection to a model server says beside its address; the config file lies among the models."""
    models = str(config_file.parent)
    directories = {"models_dir": models, "server_models_dir": models}
    return {"grpc": server.grpc, **directories, "config_file": str(config_file)}


def empty_model_config(file: Path) -> Path:
    """The config file of a model server, which serves nothing yet unless the file is there already."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        file.write_text("model_config_list {}\n")
    return file


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


def wanted_broker() -> BrokerName:
    """The broker that the variable ``BROKER`` asks for, by default Tansu.

    Raises:
        SystemExit: if there is no such broker, or this machine cannot run it.
    """
    wanted = os.environ.get("BROKER") or "tansu"
    if wanted not in get_args(BrokerName):
        sys.exit(f"BROKER is {wanted!r}; expected one of {', '.join(get_args(BrokerName))}.")
    if wanted == "kafka" and (missing := what_is_missing()):
        sys.exit(f"{missing} Or leave BROKER unset: the embedded broker needs no Java.")
    return "kafka" if wanted == "kafka" else "tansu"


def pipeline_settings(broker: BrokerName) -> dict[str, str]:
    """``RETRAIN_…`` settings of the pipelines that read from a broker: Tansu has no index of times."""
    return {"RETRAIN_LANDING__SEEK": "scan" if broker == "tansu" else "time"}


@contextmanager
def running_services(
    home: Path,
    mlflow_port: int | None = None,
    broker: BrokerName = "tansu",
    serving_flags: Sequence[str] = (),
) -> Iterator[Services]:
    """Run broker, MLflow and model server while the block runs; state and logs stay below ``home``.

    Args:
        home: RETRAIN_HOME.
        mlflow_port: a free one by default.
        broker: ``tansu``, the embedded one, or ``kafka``, Apache Kafka on Java. Either starts empty.
        serving_flags: further ones of the model server.
    """
    config = empty_model_config((home / "serving").absolute() / MODEL_CONFIG)
    logs = home / "logs"
    with (
        empty_broker(home, broker) as running,
        starting_model_server(config, logs / "model-server.log", serving_flags) as serving,
        running_mlflow(home / "mlflow", mlflow_port) as mlflow,
    ):
        serving.wait_until_it_answers()
        yield Services(running.bootstrap, mlflow, serving, config.parent)


def empty_broker(home: Path, broker: BrokerName) -> AbstractContextManager[Broker | Kafka]:
    """Run a broker without topics, while a ``with`` block runs."""
    if broker == "tansu":
        return running_broker(home / "logs")
    shutil.rmtree(home / "kafka", ignore_errors=True)
    return running_kafka(home / "kafka")


@contextmanager
def running_stack(
    home: Path, ports: Ports, broker: BrokerName = "tansu"
) -> Iterator[tuple[Services, Airflow]]:
    """Run the services and an Airflow that knows them.

    Args:
        home: RETRAIN_HOME.
        ports: of the pages.
        broker: see `running_services`.
    """
    with running_services(home, ports.mlflow, broker) as services:
        environment = night_settings(home, services, broker)
        with running_airflow(home / "airflow", environment, ports.airflow) as airflow:
            yield services, airflow


def night_settings(home: Path, services: Services, broker: BrokerName) -> dict[str, str]:
    """The variables that an Airflow needs for its nights."""
    connections = services.airflow_connections()
    return {"RETRAIN_HOME": str(home.absolute()), **connections, **pipeline_settings(broker)}
