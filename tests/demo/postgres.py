"""A real PostgreSQL from Debian's packages, for an Airflow whose runs go in parallel."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from tests.demo.ports import free_port
from tests.demo.process import ManagedProcess

USER, DATABASE = "airflow", "postgres"
READY_SECONDS = 60.0
DEBIAN = Path("/usr/lib/postgresql")
INSTALL = "PostgreSQL is not installed; install Debian's package postgresql"
# What is written here is thrown away with its directory: nothing has to survive a loss of power.
THROWN_AWAY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL.

    Attributes:
        port: on 127.0.0.1.
        password: generated, of the one user.
        process: the server.
    """

    port: int
    password: str
    process: ManagedProcess

    @property
    def airflow_settings(self) -> dict[str, str]:
        """What makes an Airflow keep its metadata here."""
        address = f"{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"
        return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{address}"}

    def connect(self) -> Any:
        """A connection; use it in a ``with`` block, which is one transaction."""
        return psycopg2.connect(
            host="127.0.0.1", port=self.port, user=USER, password=self.password, dbname=DATABASE
        )


@contextmanager
def running_postgres(home: Path) -> Iterator[Postgres]:
    """Run an empty PostgreSQL on 127.0.0.1 while the block runs; its data goes with it.

    The data lies in a temporary directory, not below ``home``: the server refuses to be root, so for root it
    runs as another user, who may not enter root's directories.

    Args:
        home: directory of the log, ``postgres.log``.

    Raises:
        FileNotFoundError: if it is not installed.
        ProcessFailed: if it does not answer in time; with the end of its log.
    """
    programs = find_programs()
    if programs is None:
        raise FileNotFoundError(f"{INSTALL}.")
    port, password = free_port(), secrets.token_urlsafe(12)
    with tempfile.TemporaryDirectory(prefix="postgres-") as directory:
        data = _make_cluster(programs, Path(directory), password)
        settings = (*THROWN_AWAY, "listen_addresses=127.0.0.1", "unix_socket_directories=", f"port={port}")
        argv = [programs / "postgres", "-D", data, *(part for value in settings for part in ("-c", value))]
        # A change of user forgets the parent's death, so it is asked for once more after it.
        argv = [*_without_rights("--pdeathsig", "TERM"), *map(str, argv)]
        with ManagedProcess("PostgreSQL", argv, home / "postgres.log", cwd=Path(directory)) as process:
            postgres = Postgres(port, password, process)
            process.wait_until(lambda: _answers(postgres), READY_SECONDS)
            yield postgres


def find_programs() -> Path | None:
    """The directory of ``initdb`` and ``postgres``: on PATH, or where Debian keeps the newest version."""
    on_path = shutil.which("initdb")
    installed = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = Path(on_path).resolve() if on_path else next(reversed(installed), None)
    return found and found.parent


def _make_cluster(programs: Path, directory: Path, password: str) -> Path:
    words = directory / "password"
    words.write_text(f"{password}\n")
    if os.geteuid() == 0:
        owner = _owner()
        for path in (directory, words):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    data = directory / "data"
    options = ("--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", f"--pwfile={words}")
    command = [*_without_rights(), programs / "initdb", "-D", data, "-U", USER, *options]
    made = subprocess.run(command, capture_output=True, text=True, cwd=directory, check=False)
    if made.returncode:
        raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")
    return data


def _without_rights(*options: str) -> list[str]:
    """What runs a program as a user without rights if we are root, and as ourselves otherwise."""
    if os.geteuid() != 0:
        return []
    owner = _owner()
    return ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups", *options, "--"]


def _owner() -> pwd.struct_passwd:
    return pwd.getpwnam("postgres")


def _answers(postgres: Postgres) -> bool:
    try:
        postgres.connect().close()
    except psycopg2.OperationalError:
        return False
    return True
