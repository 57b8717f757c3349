"""One Kafka process, broker and controller in one, whose ports and data stay its own across restarts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.demo.kafka.jvm import JVM, java_environment, run_tool
from tests.demo.ports import free_port
from tests.demo.process import ManagedProcess

LOG = ("-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS")
HANDOVER_SECONDS = 60.0


@dataclass(frozen=True)
class Ports:
    """Where a node listens on 127.0.0.1.

    Attributes:
        open: for clients, without a login.
        controller: for the controllers of the other nodes.
        secure: for clients, SASL over TLS.
        proxied: for what comes through a proxy.
        proxy: where the proxy listens: clients that came through it are told to connect there.
    """

    open: int = field(default_factory=free_port)
    controller: int = field(default_factory=free_port)
    secure: int = field(default_factory=free_port)
    proxied: int = field(default_factory=free_port)
    proxy: int = field(default_factory=free_port)


class Node:
    """A node of a cluster. Inside its ``with`` block it may be started and lost as often as one likes.

    Args:
        number: its id, from 1.
        ports: where it listens.
        home: gets ``server.properties``, ``kafka.log`` and the directory ``data``.
        properties: everything that Kafka is to know, but for the directory.

    Attributes:
        number: see above.
        ports: see above.
        process: the running Kafka.
    """

    def __init__(self, number: int, ports: Ports, home: Path, properties: Mapping[str, object]) -> None:
        self.number = number
        self.ports = ports
        self._file = home / "server.properties"
        home.mkdir(parents=True)
        lines = {**properties, "log.dirs": home.absolute() / "data"}
        self._file.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        # Should this process be killed, the node is to go at once: without the others it would try to hand
        # over its partitions for minutes.
        command = ["setpriv", "--pdeathsig", "KILL", "--", *JVM, *LOG, "kafka.Kafka", self._file]
        self.process = ManagedProcess(f"Kafka {number}", command, home / "kafka.log", java_environment())

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.running:
            self.crash()

    @property
    def bootstrap(self) -> str:
        """Where clients reach this node without a login."""
        return f"127.0.0.1:{self.ports.open}"

    def format(self, cluster: str) -> None:
        """Prepare the directory of its data for a cluster.

        Raises:
            RuntimeError: with Kafka's words, if it refuses the properties.
        """
        # With "=", for one in 64 of these ids begins with "-", as an option does.
        run_tool("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", f"--config={self._file}")

    def start(self) -> None:
        """Start it, the first time or again, with the same data and ports; does not wait for it."""
        self.process.start()

    def crash(self) -> None:
        """End it at once (SIGKILL), as a lost machine would."""
        self.process.kill()

    def stop(self) -> None:
        """Ask it to hand over its partitions and to end (SIGTERM)."""
        self.process.stop(HANDOVER_SECONDS)
