"""Topics as they are in the field, each filled with one day of clicks and with what lies around it."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from confluent_kafka import Producer

from ml.artifact import Window
from tests.demo.kafka import Kafka

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = Window.parse("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")
SETTLE = SLACK = 120 * MINUTE
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
EXAMPLE = {
    "user_id": "u1", "item_id": "i1", "session_id": "s1", "category": "shoes", "brand": "größe",
    "device": "mobile", "os": "ios", "country": "DE", "hour": 3, "price": 9.5, "age": None, "quantity": 1,
    "user_clicks": 0, "user_views": 2, "item_ctr": 0.01, "position": 1, "user_type": "new", "clicked": 0,
}  # fmt: skip
COLUMNS: Mapping[str, type] = {
    "event_id": str, "event_time": int, "user_id": str, "item_id": str, "session_id": str, "category": str,
    "brand": str, "device": str, "os": str, "country": str, "hour": int, "price": float, "age": int,
    "quantity": int, "user_clicks": int, "user_views": int, "item_ctr": float, "position": int,
    "user_type": str, "clicked": int,
}  # fmt: skip
NUMBERS = itertools.count()


class Writer:
    """Writes click events into a topic.

    Args:
        kafka: the cluster.
        topic: the topic.
        settings: of the producer, with ``_`` for each point.
    """

    def __init__(self, kafka: Kafka, topic: str, **settings: str | int) -> None:
        named = {name.replace("_", "."): value for name, value in settings.items()}
        self.producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0, **named})
        self._topic = topic

    def event(
        self,
        happened: int,
        produced: int | None = None,
        partition: int = 0,
        *,
        headers: Any = None,
        **more: Any,
    ) -> str:
        """Write an event and return its id; it is produced when it happens, unless told otherwise."""
        name = f"e{next(NUMBERS)}"
        record = {**EXAMPLE, "event_id": name, "event_time": happened, **more}
        value = json.dumps(record).encode()
        self.value(value, happened if produced is None else produced, partition, headers=headers)
        return name

    def value(self, value: bytes | None, produced: int, partition: int = 0, *, headers: Any = None) -> None:
        """Write any value."""
        self.producer.produce(
            self._topic, value, key=b"user", partition=partition, timestamp=produced, headers=headers
        )
        self.producer.poll(0)

    def day(self, events: int, partition: int = 0) -> list[str]:
        """Write events that lie evenly over the day, in order; returns their ids."""
        step = (DAY.end_ms - DAY.start_ms) // events
        ids = [self.event(DAY.start_ms + number * step, partition=partition) for number in range(events)]
        self.flush()
        return ids

    def edges(self, partition: int = 0) -> None:
        """Write what lies on either side of every bound, and what is no example."""
        start, end, settled = DAY.start_ms, DAY.end_ms, DAY.end_ms + SETTLE
        bounds = {start - 1: start, start: start, end - 1: end, end: end, start + 1: start - SLACK}
        for happened, produced in bounds.items():
            self.event(happened, produced, partition)
        for produced in (settled - 1, settled, settled + SLACK - 1, settled + SLACK, settled + 5 * SLACK):
            self.event(end - 1, produced, partition)
        for produced in (start - 1, start, end - 1, end):
            self.value(b"oops", produced, partition)
            self.value(None, produced, partition)
        self.event(start, None, partition, price="9.5")
        self.event(start, None, partition, experiment="b")
        self.flush()

    def flush(self) -> None:
        """Wait until all is in the topic."""
        assert self.producer.flush(60) == 0


@dataclass(frozen=True)
class Filled:
    """A topic with something in it.

    Attributes:
        window: the day to land.
        hidden: ids of events that must not be seen by anyone.
    """

    window: Window = DAY
    hidden: frozenset[str] = frozenset()


def create_time(kafka: Kafka, topic: str) -> Filled:
    """The producers' time, in order, with every edge case at the end."""
    kafka.topics.create(topic, config={"message.timestamp.type": "CreateTime"})
    writer = Writer(kafka, topic)
    writer.day(600)
    writer.edges()
    return Filled()


def log_append_time(kafka: Kafka, topic: str) -> Filled:
    """The broker's time: whatever the producers say, all records come now, in a window around now."""
    kafka.topics.create(topic, 2, config={"message.timestamp.type": "LogAppendTime"})
    now = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
    window = Window(now - timedelta(hours=12), now + timedelta(hours=12))
    writer = Writer(kafka, topic)
    for number in range(300):
        writer.event(window.start_ms + number * MINUTE, DAY.start_ms, number % 2)
    for happened in (window.start_ms - 1, window.end_ms - 1, window.end_ms):
        writer.event(happened, DAY.start_ms)
    writer.value(b"oops", DAY.start_ms)
    writer.value(None, DAY.start_ms)
    writer.flush()
    return Filled(window)


def appended_late(kafka: Kafka, topic: str) -> Filled:
    """The broker's time, and all of it came long after the day had settled."""
    kafka.topics.create(topic, config={"message.timestamp.type": "LogAppendTime"})
    writer = Writer(kafka, topic)
    writer.day(50)
    return Filled()


def uneven_partitions(kafka: Kafka, topic: str) -> Filled:
    """Most of the load on one partition, little on others, none on the last."""
    kafka.topics.create(topic, 6)
    writer = Writer(kafka, topic)
    for partition, events in enumerate((2_000, 300, 40, 5, 1)):
        writer.day(events, partition)
    writer.edges(3)
    return Filled()


def out_of_order(kafka: Kafka, topic: str) -> Filled:
    """Times of events and of production that jump to and fro, also further than the slack."""
    kafka.topics.create(topic, 3)
    writer, chance = Writer(kafka, topic), random.Random(11)  # noqa: S311 - no secret
    for number in range(900):
        happened = chance.randrange(DAY.start_ms - 6 * HOUR, DAY.end_ms + 6 * HOUR)
        produced = happened + chance.choice((0, 0, 1, -1)) * chance.randrange(5 * HOUR)
        writer.event(happened, produced, number % 3)
    for partition in range(3):
        writer.edges(partition)
    return Filled()


def compressed(kafka: Kafka, topic: str) -> Filled:
    """Batches of every codec beside each other."""
    kafka.topics.create(topic)
    writers = [Writer(kafka, topic, compression_type=codec, linger_ms=20) for codec in CODECS]
    for number in range(600):
        writers[number % len(writers)].event(DAY.start_ms + number * 2 * MINUTE)
        if number % 100 == 99:
            for writer in writers:
                writer.flush()
    writers[-1].edges()
    return Filled()


def headers_and_tombstones(kafka: Kafka, topic: str) -> Filled:
    """Records with headers, repeated and empty ones too, and records without a value."""
    kafka.topics.create(topic)
    writer = Writer(kafka, topic)
    for number in range(300):
        produced = DAY.start_ms + number * MINUTE
        if number % 10:
            writer.event(produced, headers=[("trace", b"1"), ("trace", b"2"), ("empty", None)])
        else:
            writer.value(None, produced, headers=[("deleted", b"yes")])
    writer.edges()
    return Filled()


def large_records(kafka: Kafka, topic: str) -> Filled:
    """Records of three megabytes among small ones."""
    most = 4 * 1024 * 1024
    kafka.topics.create(topic, config={"max.message.bytes": str(most)})
    writer = Writer(kafka, topic, message_max_bytes=most)
    for number in range(60):
        padding = "x" * (3 * 1024 * 1024 if number % 12 == 5 else 10)
        writer.event(DAY.start_ms + number * MINUTE, session_id=padding)
    writer.edges()
    return Filled()


def transactions(kafka: Kafka, topic: str) -> Filled:
    """Old records written by transactions of today: committed, aborted, and some written without one.

    The markers bear the time of their commit, which is long after the day.
    """
    kafka.topics.create(topic, 2)
    plain, writer = Writer(kafka, topic), Writer(kafka, topic, transactional_id=topic)
    writer.producer.init_transactions(60)
    hidden: set[str] = set()
    for number in range(12):
        writer.producer.begin_transaction()
        times = [DAY.start_ms + (number * 50 + event) * 2 * MINUTE for event in range(50)]
        ids = [writer.event(time, partition=time // (2 * MINUTE) % 2) for time in times]
        if number % 3 == 1:
            writer.flush()  # else what was not sent yet would never be in the log
            writer.producer.abort_transaction(60)
            hidden.update(ids)
        else:
            writer.producer.commit_transaction(60)
        plain.event(times[-1], partition=number % 2)
        plain.flush()
    plain.edges()
    return Filled(hidden=frozenset(hidden))


def ending_in_an_aborted_transaction(kafka: Kafka, topic: str) -> Filled:
    """The last offsets of the partition belong to nothing that anyone may see."""
    kafka.topics.create(topic)
    writer = Writer(kafka, topic, transactional_id=topic)
    writer.producer.init_transactions(60)
    writer.producer.begin_transaction()
    for number in range(100):
        writer.event(DAY.start_ms + number * MINUTE)
    writer.producer.commit_transaction(60)
    writer.producer.begin_transaction()
    hidden = {writer.event(DAY.start_ms + number * MINUTE) for number in range(100)}
    writer.flush()
    writer.producer.abort_transaction(60)
    return Filled(hidden=frozenset(hidden))


def partitions_added(kafka: Kafka, topic: str) -> Filled:
    """From noon on there are two partitions more."""
    kafka.topics.create(topic, 2)
    writer = Writer(kafka, topic)
    for number in range(1_440):
        if number == 720:
            writer.flush()
            kafka.topics.add_partitions(topic, 4)
            writer = Writer(kafka, topic)
        writer.event(DAY.start_ms + number * MINUTE, partition=number % (2 if number < 720 else 4))
    writer.edges(3)
    return Filled()


def future_record(kafka: Kafka, topic: str) -> Filled:
    """One record whose producer's clock runs four years ahead, in the middle of the day."""
    kafka.topics.create(topic, 2, config={"message.timestamp.after.max.ms": str(2**62)})
    writer = Writer(kafka, topic)
    ahead = DAY.start_ms + 4 * 365 * 24 * HOUR
    for number in range(600):
        if number == 200:
            writer.event(DAY.start_ms + number * MINUTE, ahead)
            writer.event(ahead, ahead)
        writer.event(DAY.start_ms + number * 2 * MINUTE, partition=number % 2)
    writer.edges(1)
    return Filled()


def held_back(kafka: Kafka, topic: str) -> Filled:
    """A producer that kept a record of the day until 20,000 of later days had been written."""
    kafka.topics.create(topic, 2)
    writer = Writer(kafka, topic)
    writer.day(100)
    for number in range(20_000):
        writer.value(b"{}", DAY.end_ms + SETTLE + SLACK + number)
    writer.event(DAY.end_ms - 1)
    writer.value(b"oops", DAY.end_ms - 1)
    writer.value(b"{}", DAY.end_ms + SETTLE + SLACK)
    writer.edges(1)
    return Filled()


def several_days(kafka: Kafka, topic: str) -> Filled:
    """The day before and the three days after, in several segments of the log."""
    kafka.topics.create(topic, 2, config={"segment.bytes": str(2**20)})
    writer = Writer(kafka, topic)
    for number in range(5 * 1_440):
        writer.event(DAY.start_ms - 24 * HOUR + number * MINUTE, partition=number % 2, session_id="s" * 300)
    writer.flush()
    return Filled()


KINDS: Mapping[str, Callable[[Kafka, str], Filled]] = {
    kind.__name__: kind
    for kind in (
        create_time, log_append_time, appended_late, uneven_partitions, out_of_order, compressed,
        headers_and_tombstones, large_records, transactions, ending_in_an_aborted_transaction,
        partitions_added, future_record, held_back, several_days,
    )
}  # fmt: skip
