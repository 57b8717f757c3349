"""Write .env, which docker-compose.yaml takes its secrets and host ports from.

What .env holds already is kept, so that running this again after an update only adds what is new.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def _password() -> str:
    return secrets.token_urlsafe(24)


def _signing_key() -> str:
    return secrets.token_urlsafe(64)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


VARIABLES: dict[str, Callable[[], str]] = {
    # Ports on 127.0.0.1 of this machine
    "AIRFLOW_PORT": lambda: "8080",
    "MLFLOW_PORT": lambda: "5000",
    "KAFKA_PORT": lambda: "9092",
    "SERVING_GRPC_PORT": lambda: "8500",
    "SERVING_REST_PORT": lambda: "8501",
    "ROUTER_GRPC_PORT": lambda: "8600",
    "ROUTER_REST_PORT": lambda: "8601",
    "PROMETHEUS_PORT": lambda: "9090",
    "ALERTMANAGER_PORT": lambda: "9093",
    "GRAFANA_PORT": lambda: "3000",
    # Where alerts and the nights' messages go: an address that Slack has given out, which nobody can make up.
    "SLACK_WEBHOOK_URL": lambda: NO_WEBHOOK,
    # Secrets
    "POSTGRES_PASSWORD": _password,
    "AIRFLOW_DATABASE_PASSWORD": _password,
    "MLFLOW_DATABASE_PASSWORD": _password,
    "AIRFLOW_ADMIN_PASSWORD": _password,
    "GRAFANA_ADMIN_PASSWORD": _password,
    "AIRFLOW_FERNET_KEY": _fernet_key,
    "AIRFLOW_JWT_SECRET": _signing_key,
    "AIRFLOW_API_SECRET_KEY": _signing_key,
}
NO_WEBHOOK = "https://hooks.slack.invalid/not-set"
HEADER = "# Written by deploy/make_env.py. Secrets: keep it out of version control and back it up.\n"


def make_env(file: Path) -> list[str]:
    """Add to ``file`` every variable that it lacks and make it readable by its owner only.

    Returns:
        The names that were added.

    Raises:
        ValueError: if a variable is there without a value, which docker compose would refuse.
    """
    text = file.read_text() if file.exists() else HEADER
    present = _read_variables(text)
    if empty := [name for name in VARIABLES if present.get(name) == ""]:
        raise ValueError(f"{file}: {', '.join(empty)} has no value. Give it one, or delete its line.")
    missing = [name for name in VARIABLES if name not in present]
    lines = "".join(f"{name}={VARIABLES[name]()}\n" for name in missing)
    separator = "" if text.endswith("\n") else "\n"
    _replace_privately(file, text + separator + lines)
    return missing


def _read_variables(text: str) -> dict[str, str]:
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _replace_privately(file: Path, text: str) -> None:
    partial = file.with_name(file.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)


def main() -> int | str:
    """Write .env beside docker-compose.yaml and say what was added, by name only."""
    file = REPOSITORY / ".env"
    try:
        added = make_env(file)
    except (ValueError, OSError) as error:
        return str(error)
    print(f"{file}: added {', '.join(added)}" if added else f"{file} has everything already")
    print("Airflow's login is 'admin' with AIRFLOW_ADMIN_PASSWORD from that file.")
    if _read_variables(file.read_text())["SLACK_WEBHOOK_URL"] == NO_WEBHOOK:
        print(
            "Messages go to the tasks' logs, and alerts stay in Alertmanager, until SLACK_WEBHOOK_URL is set."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
