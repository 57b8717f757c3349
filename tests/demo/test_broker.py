from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from tests.demo import produce as production
from tests.demo.broker import Broker, running_broker
from tests.demo.clicks import Day, render
from tests.demo.ports import free_port, listens
from tests.demo.process import ManagedProcess, ProcessFailed
from tests.demo.produce import ProductionFailed, create_topic, produce

pytestmark = pytest.mark.integration

PARTITIONS = 3


@pytest.fixture(scope="module")
def broker(tmp_path_factory) -> Iterator[Broker]:
    with running_broker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="module")
def day() -> Day:
    return Day(date(2026, 11, 20), records=5_000, seed=7, late=0.01)


@pytest.fixture
def topic(broker, request) -> str:
    name = request.node.name.replace("_", "-")
    create_topic(broker.bootstrap, name, PARTITIONS)
    return name


@pytest.fixture
def consumer(broker) -> Iterator[Consumer]:
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "unused", "enable.partition.eof": True}
    )
    yield consumer
    consumer.close()


def read(consumer: Consumer, topic: str, partitions: int = PARTITIONS) -> list[Message]:
    """Every message of a topic, read to the end of each partition."""
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    messages: list[Message] = []
    ended: set[int] = set()
    while len(ended) < partitions:
        message = consumer.poll(30) or pytest.fail("the broker fell silent")
        if message.error() is None:
            messages.append(message)
        else:
            assert message.error().code() == KafkaError._PARTITION_EOF
            ended.add(message.partition())
    return messages


def positions(messages: list[Message]) -> dict[tuple[int, int], bytes]:
    return {(message.partition(), message.offset()): message.value() for message in messages}


def test_the_broker_runs_inside_its_block_only(tmp_path):
    with running_broker(tmp_path) as broker:
        port = int(broker.bootstrap.rpartition(":")[2])
        assert listens(port)
        assert broker.process.running

    assert not listens(port)
    assert not broker.process.running


@pytest.fixture
def taken_port(tmp_path) -> Iterator[int]:
    port = free_port()
    with ManagedProcess(
        "squatter", ["python3", "-m", "http.server", str(port)], tmp_path / "squatter.log"
    ) as squatter:
        squatter.wait_until(lambda: listens(port), timeout=30)
        yield port


def test_a_broker_that_cannot_start_fails_with_its_log(tmp_path, taken_port):
    with (
        pytest.raises(ProcessFailed, match=r"broker ended (.|\n)*in use"),
        running_broker(tmp_path, taken_port),
    ):
        pytest.fail("two processes listen on one port")


def test_a_day_is_in_the_topic_as_it_was_generated(broker, consumer, topic, day):
    produced = produce(day, broker.bootstrap, topic, PARTITIONS)
    found = read(consumer, topic)
    blocks = list(day.blocks())

    assert produced.records == len(found) == day.records
    assert {message.value() for message in found} == {
        value for block in blocks for value in render(day, block)
    }
    assert sorted(message.timestamp()[1] for message in found) == sorted(
        moment for block in blocks for moment in block.arrival.tolist()
    )


def test_a_users_records_share_a_partition_and_all_partitions_are_used(broker, consumer, topic, day):
    produce(day, broker.bootstrap, topic, PARTITIONS)
    found = read(consumer, topic)
    homes = {(message.key(), message.partition()) for message in found}

    assert len(homes) == len({user for user, _ in homes})
    assert {partition for _, partition in homes} == set(range(PARTITIONS))
    assert all(message.key().decode() == json.loads(message.value())["user_id"] for message in found)


def test_the_same_day_in_another_topic_has_the_same_offsets(broker, consumer, topic, day):
    create_topic(broker.bootstrap, f"{topic}-again", PARTITIONS)
    produce(day, broker.bootstrap, topic, PARTITIONS)
    produce(day, broker.bootstrap, f"{topic}-again", PARTITIONS)

    assert positions(read(consumer, topic)) == positions(read(consumer, f"{topic}-again"))


def test_a_topic_is_not_created_twice(broker, topic):
    with pytest.raises(KafkaException, match="already exists"):
        create_topic(broker.bootstrap, topic, PARTITIONS)


def test_records_that_nobody_accepts_are_an_error(monkeypatch, day):
    monkeypatch.setitem(production.PRODUCER_SETTINGS, "message.timeout.ms", 500)
    monkeypatch.setitem(production.PRODUCER_SETTINGS, "log_level", 0)

    with pytest.raises(ProductionFailed, match=r"clicks at 127\.0\.0\.1:\d+ did not accept 5000 records"):
        produce(day, f"127.0.0.1:{free_port()}", "clicks", PARTITIONS)


def test_the_time_index_cannot_be_trusted_but_the_end_of_a_partition_can(broker, consumer, topic):
    """Why the demo's landing scans; when this fails, a newer broker may allow ``seek: time``."""
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(10):
        producer.produce(topic, b"value", partition=0, timestamp=1_000_000 + number)
    assert producer.flush(30) == 0

    [middle] = consumer.offsets_for_times([TopicPartition(topic, 0, 1_000_005)], timeout=30)
    _, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)

    assert middle.offset == 0
    assert high < 10
    assert len(read(consumer, topic)) == 10


def test_a_consumer_does_not_create_the_topic_that_it_asks_for(consumer):
    metadata = consumer.list_topics("nowhere", timeout=30).topics["nowhere"]

    assert metadata.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_the_log_is_kept(tmp_path: Path):
    with running_broker(tmp_path / "home"):
        pass

    assert "listening on" in (tmp_path / "home" / "broker.log").read_text()
