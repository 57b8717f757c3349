"""Where retention may have taken records of a window although the first record left is older than it.

Retention deletes whole segments from the front. What is left can begin with an older record all the same:
the topic was written out of order, or a producer held a record back for hours. Nothing that a broker tells
proves either, so this warns and stops nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from ml.artifact import Window
from ml.config import Landing
from ml.landing.ranges import OffsetRange, produced_ms
from ml.landing.topic import Topic

# So many records of a partition's beginning are looked at: more than the half of them are hardly held back.
BEGINNING = 100

log = logging.getLogger(__name__)


def warn_of_lost_slack(topic: Topic, landing: Landing, window: Window, ranges: Sequence[OffsetRange]) -> None:
    """Say where retention has come so near to a window that some of it may be gone.

    It has if the first record left was produced within ``slack_minutes`` before the window: some of the
    window may have been written before it. And it has if that record is older, but most of those that follow
    at once were produced in the window or later, and none in the slack before it: then it was held back, and
    tells nothing of the others. A few records from the future at the beginning are no such case.
    """
    near = sorted(_near(topic, landing, window, ranges))
    if near:
        log.warning(
            "retention of %s ends near the start of %s in partitions %s: what is left there begins within "
            "landing.slack_minutes before it, or with records that were held back. Records of the window may "
            "be gone, and nothing would show it. Compare the day's count with those of its neighbours",
            landing.topic, window, near,
        )  # fmt: skip


def _near(topic: Topic, landing: Landing, window: Window, ranges: Sequence[OffsetRange]) -> Iterator[int]:
    slack = produced_ms(landing, window)
    for one in ranges:
        if one.first_timestamp is None or one.first_timestamp > window.start_ms:
            continue
        if one.first_timestamp > slack or _begins_with_held_back(topic, one, slack, window.start_ms):
            yield one.partition


def _begins_with_held_back(topic: Topic, one: OffsetRange, slack: int, start: int) -> bool:
    blocks = list(topic.read(one.partition, one.low, min(one.low + BEGINNING, one.high)))
    if not blocks:  # so many offsets that belong to no record, such as those of an aborted transaction
        return False
    times = np.concatenate([block.timestamps for block in blocks])
    return bool(np.median(times) > start and not np.any((slack <= times) & (times <= start)))
