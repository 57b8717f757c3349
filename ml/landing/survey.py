"""What a topic still holds of some days, asked without landing any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ml.artifact import Window
from ml.config import Pipeline
from ml.connections import KafkaConnection
from ml.landing.cleanup import is_compacted
from ml.landing.ranges import OffsetRange
from ml.landing.retention import Gap, find_losses
from ml.landing.topic import Topic

Retention = Literal["complete", "partly expired", "expired", "compacted"]


@dataclass(frozen=True)
class Remains:
    """What is left of one window in the topic.

    Attributes:
        retention: whether something of it was deleted, or may have been.
        lost: the estimated share of it that was deleted, from 0 to 1.
        records: how many records were produced in it, as the brokers tell; None with ``seek: scan``, for
            brokers that cannot tell.
    """

    retention: Retention
    lost: float
    records: int | None

    @property
    def is_whole(self) -> bool:
        """Whether the window can be landed without a person who accepts a gap."""
        return self.retention == "complete"


def survey_topic(pipeline: Pipeline, windows: Sequence[Window], kafka: KafkaConnection) -> list[Remains]:
    """Ask what the topic still holds of each window; reads one record of a partition at most.

    Raises:
        Unavailable: if no broker answers in time.
        Misconfigured: if topic or credentials are wrong.
    """
    landing = pipeline.landing
    with Topic(kafka, landing.topic) as topic:
        ranges = tuple(_whole_partitions(topic))
        compacted = is_compacted(kafka, landing.topic)
        gaps = [replace(find_losses(window, ranges), compacted=compacted) for window in windows]
        counts = [_count(topic, window, ranges) if landing.seek == "time" else None for window in windows]
    return [Remains(_retention(gap), gap.share, count) for gap, count in zip(gaps, counts, strict=True)]


def _whole_partitions(topic: Topic) -> Iterator[OffsetRange]:
    for partition in topic.partitions():
        low, high = topic.watermarks(partition)
        first = topic.first_timestamp(partition, low) if low > 0 else None
        yield OffsetRange(partition, low, high, low, high, first)


def _retention(gap: Gap) -> Retention:
    if gap.losses:
        return "partly expired" if gap.share < 1 else "expired"
    return "compacted" if gap.compacted else "complete"


def _count(topic: Topic, window: Window, ranges: Sequence[OffsetRange]) -> int:
    partitions = [one.partition for one in ranges]
    starts = topic.offsets_at(partitions, window.start_ms)
    ends = topic.offsets_at(partitions, window.end_ms)
    return sum(
        _or_end(ends[one.partition], one.high) - _or_end(starts[one.partition], one.high) for one in ranges
    )


def _or_end(offset: int | None, high: int) -> int:
    return high if offset is None else min(offset, high)
