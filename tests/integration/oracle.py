"""What the right answer is: a plain reader of a whole topic that decides for each record by itself.

It is written from the rules (docs/adr/0003-offset-manifest.md, the docstrings of ``ml.landing``) and shares
no code with what it checks: Python's own JSON, one record after the other, no seeking, no batches.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

SILENCE_SECONDS = 60
LARGEST_INT = 2**63

Place = tuple[int, int]


@dataclass(frozen=True)
class Record:
    """A record that a reader of committed data can see.

    Attributes:
        place: partition and offset.
        timestamp: milliseconds since the epoch, whoever set it.
        value: the bytes; None for a tombstone.
    """

    place: Place
    timestamp: int
    value: bytes | None


@dataclass(frozen=True)
class Rules:
    """What makes a record an example of a window; all moments in milliseconds since the epoch.

    Attributes:
        columns: field → ``str``, ``int`` or ``float``.
        event_time: the field with the event's time.
        start: of the window.
        end: of the window, which is no part of it.
        settle: how long after the window a record still counts.
        slack: how long before the window a record may have been produced.
    """

    columns: Mapping[str, type]
    event_time: str
    start: int
    end: int
    settle: int
    slack: int


@dataclass
class Answer:
    """What is to come of a window.

    Attributes:
        accepted: place → the example's fields.
        rejected: place → the bytes.
        late: places of what would be examples, had they come in time.
        outside: places of everything else.
    """

    accepted: dict[Place, dict[str, Any]] = field(default_factory=dict)
    rejected: dict[Place, bytes | None] = field(default_factory=dict)
    late: set[Place] = field(default_factory=set)
    outside: set[Place] = field(default_factory=set)

    def ids(self, name: str) -> Counter[Any]:
        """How often each value of a field occurs among the examples."""
        return Counter(example.get(name) for example in self.accepted.values())


class NoExampleError(Exception):
    """A value is no example."""


def read_topic(settings: Mapping[str, str], topic: str) -> list[Record]:
    """All records of a topic, each partition from its beginning to its end."""
    consumer = Consumer(
        {
            **settings,
            "group.id": "oracle",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,  # else the broker tells of each end half a second later
        }
    )
    try:
        waiting = set(consumer.list_topics(topic, 30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in waiting])
        records = []
        while waiting:
            message = consumer.poll(SILENCE_SECONDS)
            assert message is not None, f"the topic {topic} fell silent"
            if message.error() is None:
                place = (message.partition(), message.offset())
                records.append(Record(place, message.timestamp()[1], message.value()))
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                waiting.discard(message.partition())
        return records
    finally:
        consumer.close()


def judge(records: Iterable[Record], rules: Rules) -> Answer:
    """Decide for each record."""
    answer = Answer()
    for record in records:
        try:
            example = _example(record.value, rules)
        except NoExampleError:
            if rules.start <= record.timestamp < rules.end:
                answer.rejected[record.place] = record.value
            else:
                answer.outside.add(record.place)
            continue
        is_in_window = rules.start <= example[rules.event_time] < rules.end
        if not is_in_window or record.timestamp < rules.start - rules.slack:
            answer.outside.add(record.place)
        elif record.timestamp >= rules.end + rules.settle:
            answer.late.add(record.place)
        else:
            answer.accepted[record.place] = example
    return answer


def _example(value: bytes | None, rules: Rules) -> dict[str, Any]:
    """One JSON object with an event time, in which every field of ours is absent, null or of its type."""
    if value is None:
        raise NoExampleError
    try:
        found = json.loads(value.decode("utf-8"), parse_constant=_refuse)
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise NoExampleError from None
    if not isinstance(found, dict) or not _is_finite(found):
        raise NoExampleError
    for name, kind in rules.columns.items():
        if found.get(name) is not None and not _fits(found[name], kind):
            raise NoExampleError
    if found.get(rules.event_time) is None:
        raise NoExampleError
    return found


def _fits(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, int | float)
    if kind is int:
        return isinstance(value, int) and -LARGEST_INT <= value < LARGEST_INT
    return isinstance(value, str)


def _is_finite(value: Any) -> bool:
    """Whether no number in it is too large for a double."""
    if isinstance(value, dict):
        return all(_is_finite(part) for part in value.values())
    if isinstance(value, list):
        return all(_is_finite(part) for part in value)
    return not isinstance(value, float) or math.isfinite(value)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
