"""Starts the stand-in for tests and for the demo, and always stops it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.demo.process import ManagedProcess, free_port, listens

REPOSITORY = Path(__file__).parents[3]
HOST = "127.0.0.1"
START_SECONDS = 120


@dataclass(frozen=True)
class ModelServerProcess:
    """A running model server.

    Attributes:
        process: to ask whether it still runs, to read the end of its log, to kill it.
        grpc: its gRPC address, ``host:port``.
        rest: its REST address, ``http://host:port``.
    """

    process: ManagedProcess
    grpc: str
    rest: str

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid


@contextmanager
def running_model_server(
    config_file: Path, log: Path, flags: Sequence[str] = ()
) -> Iterator[ModelServerProcess]:
    """Run the stand-in on free ports, from the moment it answers to the end of the block.

    Like the real binary it opens its ports once every model in the config file has a version available.

    Args:
        config_file: a ModelServerConfig in text form, polled every second; ``model_config_list {}`` to begin
            with nothing.
        log: the file that its output is appended to.
        flags: more flags of tensorflow_model_server; a later one wins over an earlier one.

    Raises:
        ProcessFailed: if it ends or does not answer in time; the message has the end of its log.
    """
    grpc_port, rest_port = free_port(), free_port()
    argv = [sys.executable, "-m", "tests.demo.model_server", f"--port={grpc_port}"]
    argv += [f"--rest_api_port={rest_port}", f"--model_config_file={config_file}"]
    argv += ["--model_config_file_poll_wait_seconds=1", "--max_num_load_retries=0", *flags]
    server = ManagedProcess("model server", argv, log, env={"TF_CPP_MIN_LOG_LEVEL": "2"}, cwd=REPOSITORY)
    with server:
        server.wait_until(lambda: listens(grpc_port) and listens(rest_port), START_SECONDS)
        yield ModelServerProcess(server, f"{HOST}:{grpc_port}", f"http://{HOST}:{rest_port}")
