"""One topic, read by explicit offsets and without any state of a consumer group."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ml.connections import KafkaConnection
from ml.errors import Misconfigured, RetrainingError, Unavailable, WindowExpired
from ml.landing.block import Block
from ml.landing.failures import ABOUT_THE_GROUP, REFUSED, UNANSWERED, failure_of, failure_of_settings

log = logging.getLogger(__name__)

REQUEST_SECONDS = 15.0
ATTEMPT_SECONDS = 3.0
SILENCE_SECONDS = 45.0
POLL_SECONDS = 0.05
BATCH_RECORDS = 8_192
PREFETCH_KIBIBYTES = 32 * 1024
SETTINGS: dict[str, str | int | bool] = {
    "group.id": "retraining-bundle-reads-by-offset",  # the client insists on one; nothing is stored under it
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    "allow.auto.create.topics": False,
    "fetch.queue.backoff.ms": 5,  # at its default of 1000, bulk reading stalls for a second at a time
    "fetch.wait.max.ms": 10,  # else the next partition waits while the broker waits for more of the last
    "fetch.message.max.bytes": 8 * 1024 * 1024,
    "queued.max.messages.kbytes": PREFETCH_KIBIBYTES,
    "socket.timeout.ms": 20_000,  # a connection that died in silence is made anew before we give up
    "log_level": 0,  # it would fill the log with each attempt; what it notes comes with our errors
}


class Topic:
    """A topic at its brokers, open inside a ``with`` block.

    Args:
        connection: how to reach the brokers. Our own settings win over its.
        name: the topic.
        uncommitted: whether to see what transactions have written that are open or were aborted.
    """

    def __init__(self, connection: KafkaConnection, name: str, *, uncommitted: bool = False) -> None:
        self.name = name
        self._settings = connection.plain()
        self._isolation = "read_uncommitted" if uncommitted else "read_committed"
        self._servers = self._settings.get("bootstrap.servers", "")
        self._noted: KafkaError | None = None

    def __enter__(self) -> Self:
        if "bootstrap.servers" not in self._settings:
            raise Misconfigured(
                "The Kafka connection names no brokers; expected 'bootstrap.servers', host:port separated by "
                f"commas, found the keys {', '.join(sorted(self._settings)) or '(none)'}. Add it."
            )
        try:
            self._consumer = Consumer(
                {**self._settings, **SETTINGS, "isolation.level": self._isolation, "error_cb": self._note}
            )
        except KafkaException as error:
            raise failure_of_settings(error.args[0], self._settings) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def partitions(self) -> list[int]:
        """The numbers of its partitions, sorted.

        Raises:
            Unavailable: if no broker answers in time.
            Misconfigured: if there is no such topic, or the brokers refuse us.
        """
        metadata = self._ask(lambda seconds: self._consumer.list_topics(self.name, seconds))
        topic = metadata.topics[self.name]
        if topic.error is not None:
            raise self._failure(topic.error)
        return sorted(topic.partitions)

    def watermarks(self, partition: int) -> tuple[int, int]:
        """The lowest offset that is kept, and the end as the broker states it."""
        place = TopicPartition(self.name, partition)
        low, high = self._ask(lambda seconds: self._consumer.get_watermark_offsets(place, seconds))
        return low, high

    def offsets_at(self, partitions: list[int], moment: int) -> dict[int, int | None]:
        """By partition, the first offset whose record was produced at ``moment`` or later.

        Args:
            partitions: whose offsets are asked for.
            moment: milliseconds since the epoch.

        Returns:
            None where every record is older.
        """
        places = [TopicPartition(self.name, partition, moment) for partition in partitions]
        answers = self._ask(lambda seconds: self._consumer.offsets_for_times(places, seconds))
        for answer in answers:
            if answer.error is not None:
                raise self._failure(answer.error)
        return {answer.partition: answer.offset if answer.offset >= 0 else None for answer in answers}

    def first_record(self, partition: int, low: int) -> tuple[int, int] | None:
        """Offset and time (milliseconds since the epoch) of the first record at or after ``low``, if any."""
        for block in self.read(partition, low):
            return int(block.offsets[0]), int(block.timestamps[0])
        return None

    def first_timestamp(self, partition: int, low: int) -> int | None:
        """When the first record at or after ``low`` was produced, in milliseconds; None if there is none."""
        found = self.first_record(partition, low)
        return None if found is None else found[1]

    def end_of(self, partition: int, position: int) -> int:
        """The offset after the last record, found by reading on from ``position`` to the end."""
        end = position
        for block in self.read(partition, position):
            end = block.end
        return end

    def read(self, partition: int, start: int, end: int | None = None) -> Iterator[Block]:
        """Read ``[start, end)`` of a partition in the order of offsets, block by block.

        Stops at ``end`` or at the partition's end, whichever comes first: the last offsets before ``end``
        may belong to no record (transaction markers, aborted records).

        Args:
            partition: its number.
            start: the first offset.
            end: the offset to stop before, or None for the partition's end.

        Raises:
            Unavailable: if the brokers fall silent.
            WindowExpired: if the partition does not reach from ``start`` to ``end`` any more.
        """
        self._consumer.assign([TopicPartition(self.name, partition, start)])
        position, heard = start, time.monotonic()
        while end is None or position < end:
            records, ended_at = self._split(self._consumer.consume(BATCH_RECORDS, POLL_SECONDS))
            if records:
                block = Block.of(partition, records)
                position = block.end
                if wanted := block if end is None else block.before(end):
                    yield wanted
                heard = time.monotonic()
            if ended_at is not None:
                self._check_reached(partition, ended_at, end)
                return
            self._check_heard(heard)

    def _split(self, messages: list[Message]) -> tuple[list[Message], int | None]:
        """Records and, if the partition's end was met, its offset."""
        if not any(map(Message.error, messages)):
            return messages, None
        errors = [(message, error) for message in messages if (error := message.error()) is not None]
        ended_at = None
        for message, error in errors:
            if error.code() == KafkaError._PARTITION_EOF:
                ended_at = message.offset()
            elif error.code() not in ABOUT_THE_GROUP:
                raise self._failure(error)
        return [message for message in messages if message.error() is None], ended_at

    def _check_reached(self, partition: int, ended_at: int, end: int | None) -> None:
        if end is not None and ended_at < end:
            raise WindowExpired(
                f"Partition {partition} of the topic {self.name!r} ends at offset {ended_at}; expected it to "
                f"reach {end}, where the manifest saw its end. The topic was made anew or cut off. Land the "
                "day from a copy of the topic that still holds it."
            )

    def _check_heard(self, heard: float) -> None:
        if self._noted is not None and self._noted.code() in REFUSED:
            raise self._failure(self._noted)
        if time.monotonic() - heard > SILENCE_SECONDS:
            raise self._silence()

    def _ask(self, request: Callable[[float], Any]) -> Any:
        """The answer to a request; asks again while brokers are out of reach, but not for long."""
        deadline = time.monotonic() + REQUEST_SECONDS
        while True:
            try:
                return request(ATTEMPT_SECONDS)
            except KafkaException as error:
                failure = self._failure_of_request(error.args[0])
                if time.monotonic() > deadline or not isinstance(failure, Unavailable):
                    raise failure from error

    def _failure_of_request(self, error: KafkaError) -> RetrainingError:
        self._consumer.poll(0)  # lets the client note why brokers are out of reach
        return self._failure(self._noted if self._noted and error.code() in UNANSWERED else error)

    def _note(self, error: KafkaError) -> None:
        log.debug("Kafka: %s", error.str())
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._noted = error

    def _failure(self, error: KafkaError) -> RetrainingError:
        return failure_of(error, self.name, self._servers)

    def _silence(self) -> Unavailable:
        return Unavailable(
            f"The brokers at {self._servers} sent nothing of the topic {self.name!r} for "
            f"{SILENCE_SECONDS:g} s; expected records or the partition's end. Check that they are up, and "
            "try again."
        )
