"""What became of a window whose offsets were fixed and then could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ml.artifact import Window
from ml.errors import RetrainingError, Unavailable, WindowExpired
from ml.landing.block import Block
from ml.landing.ranges import OffsetManifest, OffsetRange
from ml.landing.retention import check_gap, find_losses
from ml.landing.topic import Topic


def read_ranges(topic: Topic, manifest: OffsetManifest, window: Window) -> Iterator[Block]:
    """Read all of a manifest's ranges, one partition after the other.

    Raises:
        Unavailable: if the brokers fall silent, or refused offsets that are there.
        WindowExpired: if the topic has lost some of the ranges, with how much of the window that is.
    """
    for one in manifest.ranges:
        try:
            yield from topic.read(one.partition, one.start, one.end)
        except WindowExpired as expired:
            raise _explain(expired, topic, manifest, window) from expired


def _explain(
    expired: WindowExpired, topic: Topic, manifest: OffsetManifest, window: Window
) -> RetrainingError:
    """Look at the topic as it is now, and say what is missing of what the manifest saw."""
    now = [_as_it_is_now(topic, one) for one in manifest.ranges]
    if any(one.high < one.end for one in now):
        return expired
    if not any(one.low > one.start for one in now):
        return Unavailable(
            f"A broker refused offsets of the topic {manifest.topic!r} that are there when asked for again, "
            f"as one may that is not up to date. Try again. It said: {expired}"
        )
    check_gap(manifest.topic, window, find_losses(window, now), " since its offsets were fixed")
    return WindowExpired(
        f"Retention of the topic {manifest.topic!r} has passed over the first offsets that were to be read, "
        f"which lie before the window {window}; expected to read from where the offsets were fixed. The "
        "window itself is still there: land it with --refresh REASON (in Airflow the parameter "
        "refresh_landing)."
    )


def _as_it_is_now(topic: Topic, one: OffsetRange) -> OffsetRange:
    low, high = topic.watermarks(one.partition)
    return replace(one, low=low, high=high, first_timestamp=topic.first_timestamp(one.partition, low))
