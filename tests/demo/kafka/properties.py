"""What a node is told: KRaft, everything on loopback, and limits that suit tests."""

from __future__ import annotations

from collections.abc import Mapping

from tests.demo.kafka.node import Ports

MOST_REPLICAS = 3

# Records of a test lie months back or ahead, so nothing is deleted because of its age unless a topic asks for
# it; then it happens at once. Few threads and internal partitions, and a cleaner's buffer that fits the heap.
SETTINGS: dict[str, object] = {
    "process.roles": "broker,controller",
    "inter.broker.listener.name": "OPEN",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "OPEN:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
    "auto.create.topics.enable": "false",
    "auto.leader.rebalance.enable": "false",
    "broker.heartbeat.interval.ms": 1000,
    "broker.session.timeout.ms": 6000,
    "group.initial.rebalance.delay.ms": 0,
    "log.cleaner.backoff.ms": 500,
    "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
    "log.initial.task.delay.ms": 500,
    "log.retention.check.interval.ms": 500,
    "log.retention.ms": -1,
    "log.segment.delete.delay.ms": 500,
    "num.io.threads": 2,
    "num.network.threads": 2,
    "offsets.topic.num.partitions": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    "transaction.state.log.num.partitions": 1,
}


def properties_of(number: int, ports: Mapping[int, Ports], more: Mapping[str, object]) -> dict[str, object]:
    """All properties of one node, but for its directory.

    Args:
        number: the node's id.
        ports: of every node of the cluster, by id.
        more: what comes on top of ours, such as a ``SECURE`` listener's.
    """
    replicas = min(len(ports), MOST_REPLICAS)
    voters = ",".join(f"{peer}@127.0.0.1:{its.controller}" for peer, its in ports.items())
    own = ports[number]
    heard = {"OPEN": own.open, "PROXIED": own.proxied, "CONTROLLER": own.controller}
    told = {"OPEN": own.open, "PROXIED": own.proxy}
    if "sasl.enabled.mechanisms" in more:
        heard["SECURE"] = told["SECURE"] = own.secure
    return {
        **SETTINGS,
        "node.id": number,
        "controller.quorum.voters": voters,
        "listeners": _addresses(heard),
        "advertised.listeners": _addresses(told),
        "default.replication.factor": replicas,
        "min.insync.replicas": max(1, replicas - 1),
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": max(1, replicas - 1),
        **more,
    }


def _addresses(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
