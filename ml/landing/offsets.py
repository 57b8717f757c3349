"""Finding out, before anything is read, which offsets hold a window."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ml.artifact import Window
from ml.config import Landing, Pipeline
from ml.connections import KafkaConnection
from ml.decisions import Decision
from ml.landing.cleanup import is_compacted
from ml.landing.held_back import reach_held_back
from ml.landing.lost_slack import warn_of_lost_slack
from ml.landing.ranges import (
    MINUTE_MS,
    OFFSETS_FILE,
    OffsetManifest,
    OffsetRange,
    produced_ms,
    settled_ms,
)
from ml.landing.retention import Beginning, Gap, check_gap, find_losses
from ml.landing.topic import Topic
from ml.landing.transactions import check_transactions, what_matters
from ml.store import Draft

log = logging.getLogger(__name__)


def resolve_offsets(
    pipeline: Pipeline, window: Window, decision: Decision, kafka: KafkaConnection, draft: Draft
) -> None:
    """Write the offset ranges that hold a window, so that every try lands the same records.

    ``seek: time`` asks the brokers for the first records produced ``slack_minutes`` before the window and
    ``slack_minutes`` after it has settled, looks behind these for records that were held back, and takes the
    partition's end where a person wants the late events too. ``seek: scan`` takes all that the topic holds,
    and finds its end by reading to it, for brokers that know neither the time nor the end.

    Args:
        pipeline: the settings.
        window: whose records are wanted.
        decision: whether late events are wanted, and whether a gap is accepted.
        kafka: how to reach the brokers.
        draft: gets ``measured/offsets.json``; measurements: ``partitions`` and ``offsets``, the number of
            both; caveats: the gap that was accepted, if there is one.

    Raises:
        Unavailable: if no broker answers in time, or an open transaction hides records of the window.
        Misconfigured: if topic or credentials are wrong.
        WindowExpired: if the topic no longer holds the whole window, or is compacted and so cannot show
            that it does, and nobody has accepted that.
    """
    landing = pipeline.landing
    check_transactions(kafka, landing.topic, what_matters(pipeline, window, late=bool(decision.refresh)))
    with Topic(kafka, landing.topic) as topic:
        ranges = tuple(_ranges(topic, landing, window, to_the_end=bool(decision.refresh)))
        warn_of_lost_slack(topic, landing, window, ranges)
        gap = _find_gap(topic, window, ranges, kafka)
        if not decision.accept_gap:
            check_gap(landing.topic, window, gap)
        ranges = reach_held_back(topic, landing, window, ranges)
    if decision.accept_gap:
        draft.caveats.extend(gap.caveats(pipeline.name_of(window), decision.accept_gap))
        log.warning("%s", "; ".join(draft.caveats))
    manifest = OffsetManifest(landing.topic, ranges, decision, gap.as_json() if gap else {})
    draft.write_json(manifest.as_json(landing, window), OFFSETS_FILE)
    draft.measurements.update(partitions=len(ranges), offsets=manifest.record_count)
    log.info("%s %s: %d offsets in %d partitions", pipeline.name, window, manifest.record_count, len(ranges))


def _find_gap(topic: Topic, window: Window, ranges: Sequence[OffsetRange], kafka: KafkaConnection) -> Gap:
    gap = find_losses(window, ranges)
    if is_compacted(kafka, topic.name):
        return replace(gap, compacted=True, beginnings=tuple(_beginnings(topic, ranges)))
    return gap


def _ranges(topic: Topic, landing: Landing, window: Window, *, to_the_end: bool) -> Iterator[OffsetRange]:
    if landing.seek == "scan":
        return _by_scan(topic)
    return _by_time(topic, landing, window, to_the_end=to_the_end)


def _by_time(topic: Topic, landing: Landing, window: Window, *, to_the_end: bool) -> Iterator[OffsetRange]:
    slack = landing.slack_minutes * MINUTE_MS
    partitions = topic.partitions()
    # The watermarks come first: what is produced between these requests belongs to none of the answers.
    watermarks = {partition: topic.watermarks(partition) for partition in partitions}
    starts = topic.offsets_at(partitions, produced_ms(landing, window))
    ends = topic.offsets_at(partitions, settled_ms(landing, window) + slack)
    for partition, (low, high) in watermarks.items():
        start = _within(starts[partition], high)
        end = high if to_the_end else _within(ends[partition], high)
        yield OffsetRange(partition, start, end, low, high, _first_timestamp(topic, partition, low))


def _by_scan(topic: Topic) -> Iterator[OffsetRange]:
    for partition in topic.partitions():
        low, stated_end = topic.watermarks(partition)
        high = topic.end_of(partition, max(low, stated_end - 1))
        yield OffsetRange(partition, low, high, low, high, _first_timestamp(topic, partition, low))


def _within(offset: int | None, high: int) -> int:
    """The broker knows no offset for a moment after its last record; then the end is meant."""
    return high if offset is None else min(offset, high)


def _first_timestamp(topic: Topic, partition: int, low: int) -> int | None:
    return topic.first_timestamp(partition, low) if low > 0 else None


def _beginnings(topic: Topic, ranges: Sequence[OffsetRange]) -> Iterator[Beginning]:
    """The lowest offset of a compacted partition need not belong to a record, so the first one is read."""
    for one in ranges:
        yield Beginning(one.partition, *(topic.first_record(one.partition, one.low) or ()))
