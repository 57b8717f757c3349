"""Addresses and credentials of the outside world. Airflow Connections give them to a DAG's tasks.

Without Airflow they come from the environment, so that no secret stands in a file or on a command line.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from ml.errors import Misconfigured


class Connection(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def from_variable(cls, variable: str) -> Self:
        """Read the connection from an environment variable that holds a JSON object.

        Raises:
            Misconfigured: if it is not set, or does not hold what this kind of connection needs.
        """
        text = os.environ.get(variable)
        if text is None:
            raise Misconfigured(
                f"{variable} is not set; expected JSON with the keys {', '.join(cls.model_fields)}. "
                "Set it, or run the step in Airflow, which reads the Connection of the same purpose."
            )
        try:
            return cls.of(json.loads(text), variable)
        except json.JSONDecodeError as error:
            raise Misconfigured(f"{variable} does not hold JSON ({error}). Mend it.") from error

    @classmethod
    def of(cls, values: dict[str, Any], where: str) -> Self:
        """Check values that came from ``where``.

        Raises:
            Misconfigured: naming ``where`` and every wrong key, but no value: one may be a secret.
        """
        try:
            return cls(**values)
        except (ValidationError, TypeError) as error:
            details = error.errors() if isinstance(error, ValidationError) else []
            wrong = "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in details)
            raise Misconfigured(
                f"{where} does not describe a {cls.__name__}: {wrong or error}. "
                f"Expected the keys {', '.join(cls.model_fields)}."
            ) from None


class KafkaConnection(Connection):
    """How to reach the brokers.

    Attributes:
        config: librdkafka's settings, ``bootstrap.servers`` and, where needed, ``security.protocol``,
            ``sasl.*`` and ``ssl.*``. Kept as a secret as a whole.
    """

    config: dict[str, SecretStr]

    def plain(self) -> dict[str, str]:
        """The settings with their secrets, for the client library only."""
        return {key: value.get_secret_value() for key, value in self.config.items()}


class MlflowConnection(Connection):
    """How to reach the MLflow server.

    Attributes:
        uri: the tracking server's address.
        username: for basic authentication, if it asks.
        password: likewise.
        public_uri: the address that people's browsers reach it by, if that is another.
    """

    uri: str
    public_uri: str | None = None
    username: str | None = None
    password: SecretStr | None = None

    @property
    def page(self) -> str:
        """Where people look, without a slash at the end."""
        return (self.public_uri or self.uri).rstrip("/")

    def run_page(self, experiment_id: str, run_id: str) -> str:
        """Where people look at a run: among the pages for training, not among those for language models."""
        return f"{self.page}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


class ServingConnection(Connection):
    """How to reach the model server, and the directory that it shares with us.

    Attributes:
        rest: its REST address, ``http://host:port``.
        grpc: its gRPC address, ``host:port``.
        models_dir: the shared directory as we see it.
        server_models_dir: the same as the model server sees it.
        config_file: the model config file as we see it.
        predictions_dir: where the router records its answers, as we see it; None if nothing needs them.
    """

    rest: str
    grpc: str
    models_dir: Path
    server_models_dir: Path
    config_file: Path
    predictions_dir: Path | None = None

    def version_directory(self, model: str, version: int) -> Path:
        """Where a version's files are, as we see it."""
        return self.models_dir / model / str(version)


class PrometheusConnection(Connection):
    """How to reach the Prometheus that counts what each track answers.

    Attributes:
        address: ``http://host:port``.
    """

    address: str


KAFKA_VARIABLE = "RETRAIN_KAFKA"
MLFLOW_VARIABLE = "RETRAIN_MLFLOW"
SERVING_VARIABLE = "RETRAIN_SERVING"
CANARY_VARIABLE = "RETRAIN_SERVING_CANARY"
SCRATCH_VARIABLE = "RETRAIN_SCRATCH"
PROMETHEUS_VARIABLE = "RETRAIN_PROMETHEUS"
