"""A real MLflow server over SQLite, for the demo and the tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from tests.demo.ports import free_port
from tests.demo.process import ManagedProcess

START_SECONDS = 180

# The server makes no calls of its own: neither usage statistics nor the warm-up of its job workers.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
# Who asks over a connection that is just being closed gets no answer. By default one is closed after 5 idle
# seconds.
IDLE_SECONDS = 120


@contextmanager
def running_mlflow(home: Path, port: int | None = None) -> Iterator[str]:
    """Run the server on 127.0.0.1 while the block runs; its state stays below ``home``.

    Args:
        home: directory of the database, the artifacts and the log.
        port: a free one by default.

    Yields:
        The server's address. Browsers and clients on this machine may use it: the server's host check
        accepts localhost on any port.

    Raises:
        ProcessFailed: if it does not answer in time.
    """
    home.mkdir(parents=True, exist_ok=True)
    chosen = port or free_port()
    uri = f"http://127.0.0.1:{chosen}"
    with ManagedProcess("MLflow", _command(home, chosen), home / "mlflow.log", env=QUIET) as server:
        server.wait_until(lambda: _answers(f"{uri}/health"), timeout=START_SECONDS)
        yield uri


def _command(home: Path, port: int) -> list[str]:
    options = {
        "backend-store-uri": f"sqlite:///{home.absolute() / 'mlflow.db'}",
        "artifacts-destination": str(home.absolute() / "artifacts"),
        "host": "127.0.0.1",
        "port": str(port),
        "workers": "1",
        "uvicorn-opts": f"--timeout-keep-alive {IDLE_SECONDS}",
    }
    return [
        sys.executable,
        *("-W", "ignore", "-m", "mlflow", "server"),
        *(part for name, value in options.items() for part in (f"--{name}", value)),
    ]


def _answers(url: str) -> bool:
    with suppress(HTTPException, OSError), urlopen(url, timeout=2) as response:  # noqa: S310 - our own http address
        return bool(response.status == 200)
    return False
