"""Bring Airflow's database to this version and set the admin's password. Safe to run again."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

PASSWORDS_FILE = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
PASSWORD = "AIRFLOW_ADMIN_PASSWORD"  # noqa: S105 - a variable's name


def main() -> None:
    """Migrate, then write the password, so that an api-server never starts on half of it."""
    subprocess.run(["airflow", "db", "migrate"], check=True)
    write_passwords(Path(os.environ[PASSWORDS_FILE]), {"admin": os.environ[PASSWORD]})
    print("Airflow's database is up to date and the password of 'admin' is set.", flush=True)


def write_passwords(file: Path, passwords: dict[str, str]) -> None:
    """Replace the file that the simple auth manager reads its users' passwords from.

    Without it the manager would make a password up and print it to the log.
    """
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(passwords, stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)


if __name__ == "__main__":
    main()
