"""Put days of the click log into a Kafka topic."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.demo.clicks import Block, Day, render
from tests.demo.clicks.lines import user_ids

log = logging.getLogger(__name__)

QUEUED_RECORDS = 131_072
PROGRESS_SECONDS = 3.0
DELIVERY_SECONDS = 60.0
PRODUCER_SETTINGS: dict[str, str | int | bool] = {
    "acks": "all",
    "retries": 0,  # a retry could change the order; what is not accepted at once is a failure
    "compression.type": "lz4",
    "linger.ms": 50,
    "batch.num.messages": 10_000,
    "queue.buffering.max.messages": 4 * QUEUED_RECORDS,
    "message.timeout.ms": int(DELIVERY_SECONDS * 1000),
    "delivery.report.only.error": True,
}


class ProductionFailed(RuntimeError):
    """Records were not accepted by the broker."""


@dataclass(frozen=True)
class Produced:
    """What a day became in the topic.

    Attributes:
        records: how many the broker has accepted.
        seconds: how long that took.
    """

    records: int
    seconds: float

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds


def create_topic(bootstrap: str, topic: str, partitions: int) -> None:
    """Create a topic.

    Raises:
        KafkaException: if it exists, or the broker refuses or does not answer.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 4})
    created = admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=1)])
    created[topic].result(timeout=DELIVERY_SECONDS)


def produce(day: Day, bootstrap: str, topic: str, partitions: int) -> Produced:
    """Write a day into an existing topic, users spread over the partitions.

    A record's key is the user, its timestamp the moment when it arrives; the event's own time stands in its
    value. The order is that of arrival, so the same days written into a new topic have the same offsets.

    Raises:
        ProductionFailed: if the broker does not accept every record.
    """
    started = reported = time.monotonic()
    destination = _Destination(bootstrap, topic, partitions)
    for block in day.blocks():
        destination.send(block, render(day, block))
        if time.monotonic() - reported > PROGRESS_SECONDS:
            reported = time.monotonic()
            _report(day, block.first + len(block), reported - started)
    destination.finish()
    produced = Produced(day.records, time.monotonic() - started)
    _report(day, produced.records, produced.seconds)
    return produced


def fill_topic(days: Iterable[Day], bootstrap: str, topic: str, partitions: int) -> None:
    """Make a topic and write days into it.

    Raises:
        KafkaException: if the topic exists, or the broker does not answer.
        ProductionFailed: if the broker does not accept every record.
    """
    create_topic(bootstrap, topic, partitions)
    for day in days:
        produce(day, bootstrap, topic, partitions)


class _Destination:
    """A topic that takes blocks, and at the end knows whether all of them arrived."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._name = f"topic {topic} at {bootstrap}"
        self._topic = topic
        self._partitions = partitions
        self._failures: list[str] = []
        self._producer = Producer({"bootstrap.servers": bootstrap, **PRODUCER_SETTINGS})

    def send(self, block: Block, values: list[bytes]) -> None:
        """Queue a block. Waits while too much of what was sent before is still under way."""
        keys = user_ids(block.shown.user)
        partitions = (block.shown.user % self._partitions).tolist()
        for value, key, partition, moment in zip(
            values, keys, partitions, block.arrival.tolist(), strict=True
        ):
            self._producer.produce(
                self._topic, value, key, partition, timestamp=moment, on_delivery=self._delivered
            )
        while len(self._producer) > QUEUED_RECORDS:
            self._producer.poll(0.1)

    def finish(self) -> None:
        """Wait until the broker has accepted all.

        Raises:
            ProductionFailed: if it has not.
        """
        lost = self._producer.flush(DELIVERY_SECONDS) + len(self._failures)
        if lost:
            reason = next(iter(self._failures), f"no answer within {DELIVERY_SECONDS:g} s")
            raise ProductionFailed(
                f"{self._name} did not accept {lost} records: {reason}. Start again with an empty topic."
            )

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failures.append(error.str())


def _report(day: Day, done: int, seconds: float) -> None:
    rate = done / seconds
    log.info("%s: %d of %d records produced, %.0f records/s", day.date, done, day.records, rate)
