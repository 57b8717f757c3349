"""A Kafka cluster on 127.0.0.1 for the time of a block."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AclOperation, AclPermissionType, AdminClient

from tests.demo.kafka.node import Node, Ports
from tests.demo.kafka.properties import properties_of
from tests.demo.kafka.security import Security, add_user, set_right
from tests.demo.kafka.topics import Topics

READY_SECONDS = 180.0


class Kafka:
    """A running cluster.

    Attributes:
        nodes: by number, from 1. Each can be crashed, stopped and started again.
        topics: for making and moving them.
    """

    def __init__(self, nodes: Mapping[int, Node], security: Security | None) -> None:
        self.nodes = dict(nodes)
        self._security = security
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        self.topics = Topics(self._admin, self.bootstrap, self._wait_until)

    @property
    def bootstrap(self) -> str:
        """``host:port`` of every node, for librdkafka's ``bootstrap.servers``."""
        return ",".join(node.bootstrap for node in self.nodes.values())

    @property
    def proxied(self) -> str:
        """Where clients are to connect that shall reach node N through a proxy, for every node.

        The proxy is the test's: it listens on ``nodes[N].ports.proxy`` and leads to ``ports.proxied``.
        """
        return ",".join(f"127.0.0.1:{node.ports.proxy}" for node in self.nodes.values())

    def secure_settings(self, user: str, password: str) -> dict[str, str]:
        """What a client is told that logs in, for a cluster that was started with ``secure``."""
        if self._security is None:
            raise RuntimeError("the cluster has no secure listener; start it with secure=True")
        servers = ",".join(f"127.0.0.1:{node.ports.secure}" for node in self.nodes.values())
        return {"bootstrap.servers": servers, **self._security.settings(user, password)}

    def add_user(self, user: str, password: str) -> None:
        """Let a user log in; without rights it may still read nothing."""
        add_user(self._admin, user, password)

    def allow(self, user: str, topic: str, *operations: AclOperation) -> None:
        """Grant a user operations on a topic."""
        for operation in operations:
            set_right(self._admin, user, topic, operation, AclPermissionType.ALLOW)

    def deny(self, user: str, topic: str, *operations: AclOperation) -> None:
        """Forbid a user operations on a topic, whatever else allows them."""
        for operation in operations:
            set_right(self._admin, user, topic, operation, AclPermissionType.DENY)

    def start(self, number: int) -> None:
        """Start a node that was crashed or stopped, and wait until all know it again.

        Raises:
            ProcessFailed: if that does not happen in time.
        """
        self.nodes[number].start()
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Wait until each running node knows all running nodes.

        Raises:
            ProcessFailed: if that does not happen in time.
        """
        living = {number: node for number, node in self.nodes.items() if node.process.running}
        for node in living.values():
            node.process.wait_until(lambda node=node: _known_to(node) == living.keys(), READY_SECONDS)

    def _wait_until(self, ready: Callable[[], Any], goal: str) -> None:
        living = next(node for node in self.nodes.values() if node.process.running)
        living.process.wait_until(ready, READY_SECONDS, goal)


@contextmanager
def running_kafka(
    home: Path, brokers: int = 1, *, secure: bool = False, properties: Mapping[str, object] | None = None
) -> Iterator[Kafka]:
    """Run an empty Apache Kafka in KRaft mode for the time of the block.

    Args:
        home: an empty or missing directory for data and logs, ``node-N/kafka.log``.
        brokers: one node or three, each broker and controller.
        secure: whether there is a listener for users with a password over TLS, and rights.
        properties: Kafka's own, on top of ours.

    Raises:
        KafkaMissing: if this machine cannot run it; says what to install.
        ProcessFailed: if a node does not come up in time; with the end of its log.
    """
    security = Security(home / "security") if secure else None
    more = {**(security.properties() if security else {}), **(properties or {})}
    ports = {number: Ports() for number in range(1, brokers + 1)}
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    with ExitStack() as stack:
        nodes = {}
        for number, its in ports.items():
            node = Node(number, its, home / f"node-{number}", properties_of(number, ports, more))
            node.format(cluster)
            nodes[number] = stack.enter_context(node)
        for node in nodes.values():
            node.start()
        kafka = Kafka(nodes, security)
        kafka.wait_until_whole()
        yield kafka


def _known_to(node: Node) -> set[int]:
    """The numbers of the living nodes, as one of them sees it; none if it does not answer."""
    try:
        admin = AdminClient({"bootstrap.servers": node.bootstrap, "log_level": 0})
        return set(admin.list_topics(timeout=2).brokers)
    except KafkaException:
        return set()
