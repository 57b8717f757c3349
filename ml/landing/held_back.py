"""Records that bear a time of the window and lie behind its end, as the broker answered it.

Asked for a time, a broker names the first record of that time or a later one. Older ones may follow it: a
producer kept its records for hours, one record came from the future, or a transaction wrote old records and
its marker bears the time of the commit. No question to a broker shows where the last of them lies. So the
times of all that follows are looked through, and nothing of it is parsed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ml.artifact import Window
from ml.config import Landing
from ml.landing.expiry import read_ranges
from ml.landing.ranges import OffsetManifest, OffsetRange, produced_ms, settled_ms
from ml.landing.topic import Topic

log = logging.getLogger(__name__)


def reach_held_back(
    topic: Topic, landing: Landing, window: Window, ranges: Sequence[OffsetRange]
) -> tuple[OffsetRange, ...]:
    """Let each range reach behind the last record of its partition that the window may hold.

    Reads from each range's end to the end of its partition: nothing on the night itself, when little has
    been written since, and the rest of the topic for a day of long ago.

    Raises:
        Unavailable: if the brokers fall silent.
        WindowExpired: if retention takes some of the window meanwhile.
    """
    # Empty rests stay among them: if retention passes meanwhile, it is explained over all partitions.
    following = OffsetManifest(topic.name, tuple(replace(one, start=one.end, end=one.high) for one in ranges))
    if following.record_count:
        log.info(
            "looking through the times of %d records behind %s for some that were held back",
            following.record_count, window,
        )  # fmt: skip
    first, settled = produced_ms(landing, window), settled_ms(landing, window)
    ends = {one.partition: one.end for one in ranges}
    for block in read_ranges(topic, following, window):
        held_back = np.flatnonzero((first <= block.timestamps) & (block.timestamps < settled))
        if held_back.size:
            ends[block.partition] = int(block.offsets[held_back[-1]]) + 1
    return tuple(_reaching(topic, one, ends[one.partition]) for one in ranges)


def _reaching(topic: Topic, one: OffsetRange, end: int) -> OffsetRange:
    if end > one.end:
        log.warning(
            "partition %d of %s holds records of the window behind offset %d, where the broker saw its end "
            "by time: reading on to offset %d",
            one.partition, topic.name, one.end, end,
        )  # fmt: skip
    return replace(one, end=end)
