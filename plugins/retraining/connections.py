"""Airflow Connections as the plain connections that the steps of ``ml`` ask for."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from ml import connections
from ml.errors import Misconfigured


def read_connection(purpose: str, connection_id: str) -> connections.Connection:
    """Read the Airflow Connection that a step needs for ``purpose``, a key of ``READERS``.

    Raises:
        Misconfigured: if there is none, or it lacks something. No value is shown.
    """
    try:
        found = Connection.get(connection_id)
    except AirflowNotFoundException as error:
        raise Misconfigured(
            f"Airflow has no Connection {connection_id!r}, which the step needs for {purpose}. Add it under "
            "Admin > Connections or as AIRFLOW_CONN_" + connection_id.upper() + "; see docs/operations.md."
        ) from error
    kind, values = READERS[purpose]
    return kind.of(values(found), f"Airflow's Connection {connection_id!r}")


def _kafka(connection: Any) -> dict[str, Any]:
    return {"config": {key: str(value) for key, value in connection.extra_dejson.items()}}


def _mlflow(connection: Any) -> dict[str, Any]:
    credentials = {"username": connection.login, "password": connection.password}
    return {"uri": _address(connection), **credentials, **connection.extra_dejson}


def _serving(connection: Any) -> dict[str, Any]:
    return {"rest": _address(connection), **connection.extra_dejson}


def _prometheus(connection: Any) -> dict[str, Any]:
    return {"address": _address(connection), **connection.extra_dejson}


def _address(connection: Any) -> str:
    port = f":{connection.port}" if connection.port else ""
    return f"{connection.schema or 'http'}://{connection.host}{port}"


READERS: dict[str, tuple[type[connections.Connection], Any]] = {
    "kafka": (connections.KafkaConnection, _kafka),
    "mlflow": (connections.MlflowConnection, _mlflow),
    "serving": (connections.ServingConnection, _serving),
    "canary": (connections.ServingConnection, _serving),
    "prometheus": (connections.PrometheusConnection, _prometheus),
    "scratch": (connections.ServingConnection, _serving),
}
