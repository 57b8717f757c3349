"""The servers that the commands talk to, as the environment names them."""

from __future__ import annotations

import os

from ml.connections import (
    CANARY_VARIABLE,
    KAFKA_VARIABLE,
    MLFLOW_VARIABLE,
    PROMETHEUS_VARIABLE,
    SCRATCH_VARIABLE,
    SERVING_VARIABLE,
    KafkaConnection,
    MlflowConnection,
    PrometheusConnection,
    ServingConnection,
)


def kafka() -> KafkaConnection:
    """The broker."""
    return KafkaConnection.from_variable(KAFKA_VARIABLE)


def serving() -> ServingConnection:
    """The model server that users are answered by."""
    return ServingConnection.from_variable(SERVING_VARIABLE)


def canary() -> ServingConnection | None:
    """The canary's own model server; None if the environment names none."""
    return ServingConnection.from_variable(CANARY_VARIABLE) if CANARY_VARIABLE in os.environ else None


def scratch() -> ServingConnection:
    """The model server that answers nobody."""
    return ServingConnection.from_variable(SCRATCH_VARIABLE)


def mlflow() -> MlflowConnection:
    """The tracking server and registry."""
    return MlflowConnection.from_variable(MLFLOW_VARIABLE)


def prometheus() -> PrometheusConnection:
    """What has the router's metrics."""
    return PrometheusConnection.from_variable(PROMETHEUS_VARIABLE)
