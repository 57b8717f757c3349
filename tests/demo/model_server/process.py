"""Starts the stand-in for tests and for the demo, and always stops it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.demo.ports import free_port, listens
from tests.demo.process import ManagedProcess

REPOSITORY = Path(__file__).parents[3]
HOST = "127.0.0.1"
START_SECONDS = 120
DEFAULT_FLAGS = (
    "--model_config_file_poll_wait_seconds=1",
    # By default a load that failed is tried five times more, a minute apart, and stays LOADING meanwhile.
    "--max_num_load_retries=0",
    # Without this no server starts again from a config that has labels: nothing is available at its start.
    "--allow_version_labels_for_unavailable_models=true",
)


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

    def wait_until_it_answers(self) -> None:
        """Wait until both ports are open. It opens them once every model of its config has a version.

        Raises:
            ProcessFailed: if it ends or does not answer in time; the message has the end of its log.
        """
        ports = [int(address.rpartition(":")[2]) for address in (self.grpc, self.rest)]
        self.process.wait_until(lambda: all(map(listens, ports)), START_SECONDS)


@contextmanager
def running_model_server(
    config_file: Path, log: Path, flags: Sequence[str] = ()
) -> Iterator[ModelServerProcess]:
    """Run the stand-in on free ports, from the moment it answers to the end of the block.

    The arguments are those of `starting_model_server`.

    Raises:
        ProcessFailed: if it ends or does not answer in time; the message has the end of its log.
    """
    with starting_model_server(config_file, log, flags) as server:
        server.wait_until_it_answers()
        yield server


@contextmanager
def starting_model_server(
    config_file: Path, log: Path, flags: Sequence[str] = ()
) -> Iterator[ModelServerProcess]:
    """Start the stand-in on free ports, and end it with the block; it does not answer at once.

    Args:
        config_file: a ModelServerConfig in text form, polled every second; ``model_config_list {}`` to begin
            with nothing.
        log: the file that its output is appended to.
        flags: more flags of tensorflow_model_server; they win over DEFAULT_FLAGS.
    """
    grpc_port, rest_port = free_port(), free_port()
    argv = [sys.executable, "-m", "tests.demo.model_server", f"--port={grpc_port}"]
    argv += [f"--rest_api_port={rest_port}", f"--model_config_file={config_file}"]
    argv += [*DEFAULT_FLAGS, *flags]
    server = ManagedProcess("model server", argv, log, env={"TF_CPP_MIN_LOG_LEVEL": "2"}, cwd=REPOSITORY)
    with server:
        yield ModelServerProcess(server, f"{HOST}:{grpc_port}", f"http://{HOST}:{rest_port}")
