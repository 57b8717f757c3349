"""Topics whose beginning Apache Kafka itself deletes, because ``retention.ms`` has passed over it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from confluent_kafka import Producer

from ml.artifact import Window
from tests.demo.kafka import Kafka
from tests.integration.landed import plain
from tests.integration.oracle import Record, read_topic
from tests.integration.topic_kinds import DAY, EXAMPLE, HOUR

PARTITIONS, RECORDS = 2, 400
EVER = {"retention.ms": "-1"}


class Expiring(ABC):
    """A topic that can lose its beginning.

    Args:
        kafka: the cluster.
        name: of the topic, which is made.

    Attributes:
        name: see above.
        window: a day of which the topic loses some.
    """

    kind: str
    window: Window

    def __init__(self, kafka: Kafka, name: str) -> None:
        self.kafka, self.name = kafka, name
        # By the producers' time, a segment ends an hour after its first record.
        settings = {"message.timestamp.type": self.kind, "segment.ms": str(HOUR), **EVER}
        kafka.topics.create(name, PARTITIONS, settings)

    @abstractmethod
    def fill(self) -> None:
        """Write records of the window and, if that is possible, of the day before."""

    @abstractmethod
    def lose_most(self) -> None:
        """Let retention pass over the most of the window. Some of it is there afterwards."""

    def lose_all(self) -> None:
        """Let retention pass over everything."""
        ends = self._ends()
        self.kafka.topics.configure(self.name, {"retention.ms": "1000"})
        for partition, end in enumerate(ends):
            self.kafka.topics.wait_until_deleted(self.name, partition, before=end)

    def expected(self, window: Window) -> Iterator[str]:
        """What is to be said of each partition that has lost some of a window."""
        length = window.end_ms - window.start_ms
        for partition, (offset, time) in enumerate(self._beginnings()):
            when, share = "(none is)", 1.0
            if time is not None:
                when = datetime.fromtimestamp(time / 1000, timezone.utc).isoformat(timespec="seconds")
                share = min((time - window.start_ms) / length, 1.0)
            place = f"produced at {when} (offset {offset}); about {share:.0%} lost"
            yield f"  partition {partition}: the first record still there was {place}"

    def write(self, window: Window) -> None:
        """Write events that lie evenly over a window, in batches of ten."""
        settings = {"enable.idempotence": True, "batch.num.messages": 10, "linger.ms": 50, "log_level": 0}
        producer = Producer({**plain(self.kafka), **settings})
        step = (window.end_ms - window.start_ms) // RECORDS
        for number in range(RECORDS):
            time = window.start_ms + number * step
            value = json.dumps({**EXAMPLE, "event_id": f"{time}", "event_time": time})
            producer.produce(self.name, value, partition=number % PARTITIONS, timestamp=time)
        assert producer.flush(60) == 0

    def left(self) -> list[Record]:
        """What any reader still finds."""
        return read_topic(plain(self.kafka), self.name)

    def _ends(self) -> list[int]:
        found = [record.place for record in self.left()]
        return [1 + max(offset for at, offset in found if at == partition) for partition in range(PARTITIONS)]

    def _beginnings(self) -> Iterator[tuple[int, int | None]]:
        """The first offset of each partition, and the time of its record, if there is one."""
        records = self.left()
        for partition in range(PARTITIONS):
            mine = [record for record in records if record.place[0] == partition]
            first = min(mine, key=lambda record: record.place[1], default=None)
            lowest = self.kafka.topics.lowest_offset(self.name, partition)
            yield lowest, None if first is None else first.timestamp


class ByTheProducer(Expiring):
    """The producers' time decides what is too old."""

    kind = "CreateTime"
    window = DAY

    def fill(self) -> None:
        self.write(the_day_before(DAY))
        self.write(DAY)

    def lose_most(self) -> None:
        kept_from = datetime.fromtimestamp(DAY.end_ms / 1000 - 3 * 3600, timezone.utc)
        age = datetime.now(timezone.utc) - kept_from
        self.kafka.topics.configure(self.name, {"retention.ms": str(age // timedelta(milliseconds=1))})
        for partition in range(PARTITIONS):
            self.kafka.topics.wait_until_deleted(self.name, partition, before=RECORDS // PARTITIONS + 1)


class ByTheBroker(Expiring):
    """The broker's own time decides what is too old, whatever the producers say."""

    kind = "LogAppendTime"

    def fill(self) -> None:
        now = datetime.now(timezone.utc).replace(microsecond=0)
        self.window = Window(now - timedelta(hours=12), now + timedelta(hours=12))
        self.write(self.window)

    def lose_most(self) -> None:
        self.lose_all()
        self.kafka.topics.configure(self.name, EVER)
        self.write(self.window)


KINDS = (ByTheProducer, ByTheBroker)


def the_day_before(window: Window) -> Window:
    return Window(window.start - timedelta(days=1), window.start)
