"""Apache Kafka as the tests run it: whatever a test breaks, the cluster can be whole again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from ml.connections import KafkaConnection
from ml.landing.topic import Topic
from tests.demo.kafka import Kafka, jars, running_kafka, what_is_missing
from tests.demo.kafka.cluster import properties_of
from tests.demo.kafka.node import Node, Ports
from tests.demo.ports import listens

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def kafka(kafka_can_run: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """Three nodes."""
    with running_kafka(tmp_path_factory.mktemp("kafka") / "cluster", brokers=3) as kafka:
        yield kafka
    assert not [node for node in kafka.nodes.values() if listens(node.ports.open)]


@pytest.fixture
def topic(kafka: Kafka, request: pytest.FixtureRequest) -> str:
    """A topic of one partition on all three nodes, led by the first."""
    kafka.topics.create(request.node.name, replicas=[[1, 2, 3]])
    return str(request.node.name)


def write(kafka: Kafka, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "acks": "all", "log_level": 0})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(60) == 0


def values(kafka: Kafka, topic: str) -> list[bytes | None]:
    connection = KafkaConnection(config={"bootstrap.servers": kafka.bootstrap})
    with Topic(connection, topic) as reader:
        low, _ = reader.watermarks(0)
        return [value for block in reader.read(0, low) for value in block.values]


def test_what_was_written_outlives_the_loss_of_its_leader(kafka: Kafka, topic: str) -> None:
    write(kafka, topic, b"before")
    kafka.nodes[1].crash()
    write(kafka, topic, b"meanwhile")
    assert kafka.topics.leaders(topic)[0] in {2, 3}

    kafka.start(1)

    kafka.topics.wait_until_in_sync(topic)
    assert values(kafka, topic) == [b"before", b"meanwhile"]


def test_a_leader_is_moved_while_all_nodes_live(kafka: Kafka, topic: str) -> None:
    write(kafka, topic, b"before")

    kafka.topics.move_leader(topic, 0, to=3)

    write(kafka, topic, b"after")
    assert kafka.topics.leaders(topic) == {0: 3}
    assert kafka.topics.partitions(topic)[0].replicas == [3, 1, 2]
    assert values(kafka, topic) == [b"before", b"after"]


def test_records_are_deleted_and_partitions_added_at_will(kafka: Kafka, topic: str) -> None:
    write(kafka, topic, b"first", b"second", b"third")

    kafka.topics.delete_records(topic, 0, before=2)
    kafka.topics.add_partitions(topic, 2)

    assert values(kafka, topic) == [b"third"]
    assert set(kafka.topics.leaders(topic)) == {0, 1}


def test_retention_deletes_what_has_become_too_old(kafka: Kafka, topic: str) -> None:
    kafka.topics.configure(topic, {"segment.bytes": "1048576"})
    write(kafka, topic, b"old")

    kafka.topics.configure(topic, {"retention.ms": "1"})

    kafka.topics.wait_until_deleted(topic, 0, before=1)
    assert values(kafka, topic) == []


def test_a_machine_without_java_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert "apt install maven openjdk-17-jre-headless" in what_is_missing()
    with pytest.raises(jars.KafkaMissing, match="there is no `java`"):
        jars.class_path()


def test_a_cluster_whose_id_begins_like_an_option_is_one_like_any_other(
    kafka_can_run: None, tmp_path: Path
) -> None:
    ports, name = {1: Ports()}, "-nPeDr87TIiVfDrNg9CSkQ"

    Node(1, ports[1], tmp_path / "node", properties_of(1, ports, {})).format(name)

    assert f"cluster.id={name}\n" in (tmp_path / "node" / "data" / "meta.properties").read_text()
