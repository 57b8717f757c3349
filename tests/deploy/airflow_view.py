"""Print, as JSON, what Airflow makes of the environment that it was started with. Run as a program."""

from __future__ import annotations

import json
import sys

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.sdk import Connection
from airflow.settings import SQL_ALCHEMY_CONN, SQL_ALCHEMY_CONN_ASYNC
from retraining.connections import read_connection

CONNECTIONS = {
    "mlflow": "mlflow_default",
    "serving": "serving_default",
    "canary": "serving_canary_default",
    "scratch": "serving_scratch",
    "prometheus": "prometheus_default",
}


def main() -> None:
    """Ask the code that a deployment would run, never the environment itself."""
    [bundle] = DagBundlesManager().get_all_dag_bundles()
    view = {
        "bundle": {"type": type(bundle).__name__, "name": bundle.name, "interval": bundle.refresh_interval},
        "repository": getattr(bundle, "repo_url", None),
        "databases": [SQL_ALCHEMY_CONN, SQL_ALCHEMY_CONN_ASYNC],
        "kafka": read_connection("kafka", "kafka_default").plain(),  # type: ignore[attr-defined]
        **{
            purpose: read_connection(purpose, connection_id).model_dump(mode="json")
            for purpose, connection_id in CONNECTIONS.items()
        },
        "slack": Connection.get("slack_default").password,
        "users": [(user.username, user.role) for user in SimpleAuthManager.get_users()],
        "passwords": SimpleAuthManager.get_passwords(),
    }
    json.dump(view, sys.stdout)


if __name__ == "__main__":
    main()
