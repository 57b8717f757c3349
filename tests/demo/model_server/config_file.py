"""Keeps the config file in force."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

from tests.demo.model_server.config import read_model_server_config
from tests.demo.model_server.core import ServerCore
from tests.demo.model_server.status import StatusError

log = logging.getLogger(__name__)


class ConfigFilePoller:
    """Reloads the config file at intervals, changed or not, as the real server does.

    Args:
        path: the file.
        core: what to reload.
        interval_seconds: between two reloads; zero for never.
    """

    def __init__(self, path: Path, core: ServerCore[Any], interval_seconds: float) -> None:
        self._path = path
        self._core = core
        self._interval_seconds = interval_seconds
        self._stopping = threading.Event()
        self._complaint = ""
        self._thread = threading.Thread(target=self._run, name="config-file", daemon=True)

    def start(self) -> None:
        """Begin, unless the interval is zero."""
        if self._interval_seconds > 0:
            self._thread.start()

    def stop(self) -> None:
        """Begin no other reload."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            try:
                self._core.reload(read_model_server_config(self._path))
                self._complain("")
            except StatusError as error:
                self._complain(f"{self._path} is not in force: {error}")

    def _complain(self, complaint: str) -> None:
        if complaint and complaint != self._complaint:
            log.error(complaint)
        self._complaint = complaint
