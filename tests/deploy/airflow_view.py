"""Print, as JSON, what Airflow makes of the environment that it was started with. Run as a program."""

from __future__ import annotations

import json
import sys

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.sdk import Connection
from airflow.settings import SQL_ALCHEMY_CONN, SQL_ALCHEMY_CONN_ASYNC
from retraining.connections import read_connection


def main() -> None:
    """Ask the code that a deployment would run, never the environment itself."""
    [bundle] = DagBundlesManager().get_all_dag_bundles()
    view = {
        "bundle": {"type": type(bundle).__name__, "name": bundle.name, "interval": bundle.refresh_interval},
        "repository": getattr(bundle, "repo_url", None),
        "databases": [SQL_ALCHEMY_CONN, SQL_ALCHEMY_CONN_ASYNC],
        "kafka": read_connection("kafka", "kafka_default").plain(),  # type: ignore[attr-defined]
        "mlflow": read_connection("mlflow", "mlflow_default").model_dump(mode="json"),
        "serving": read_connection("serving", "serving_default").model_dump(mode="json"),
        "scratch": read_connection("scratch", "serving_scratch").model_dump(mode="json"),
        "slack": Connection.get("slack_default").password,
        "users": [(user.username, user.role) for user in SimpleAuthManager.get_users()],
        "passwords": SimpleAuthManager.get_passwords(),
    }
    json.dump(view, sys.stdout)


if __name__ == "__main__":
    main()
