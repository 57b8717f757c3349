"""Whether the topic still holds a whole window, which its offsets alone do not show.

Asked for a moment that retention has passed over, a broker answers the lowest offset that it still has, as
if the day began there. So the time of the first record still there is held against the window's start.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timezone

from ml.artifact import Window
from ml.errors import WindowExpired
from ml.landing.ranges import OffsetRange

log = logging.getLogger(__name__)


def check_retention(topic: str, window: Window, ranges: Sequence[OffsetRange]) -> None:
    """Check that nothing of the window was deleted.

    A partition from which nothing was deleted (its lowest offset is 0) is whole. Otherwise the first record
    still there tells how far retention has come: records are produced after their event, so the window is
    whole if that record was produced at its start or before. A partition that was emptied tells nothing
    itself, and is trusted if another shows that retention reaches back beyond the window's start.

    Raises:
        WindowExpired: naming each partition that lost some, what is left, and how much is lost.
    """
    reaches_back = any(_reaches_back(one, window) for one in ranges)
    lost = [
        one
        for one in ranges
        if _was_deleted_from(one) and not (_reaches_back(one, window) or (_is_empty(one) and reaches_back))
    ]
    if lost:
        raise WindowExpired(_message(topic, window, ranges, lost))


def _was_deleted_from(one: OffsetRange) -> bool:
    return one.low > 0


def _is_empty(one: OffsetRange) -> bool:
    return one.low == one.high


def _reaches_back(one: OffsetRange, window: Window) -> bool:
    return one.first_timestamp is not None and one.first_timestamp <= window.start_ms


def _share_lost(one: OffsetRange, window: Window) -> float:
    """The part of the window's time that lies before the first record still there, from 0 to 1."""
    if one.first_timestamp is None:
        return 1.0
    return min((one.first_timestamp - window.start_ms) / (window.end_ms - window.start_ms), 1.0)


def _message(topic: str, window: Window, ranges: Sequence[OffsetRange], lost: Sequence[OffsetRange]) -> str:
    share = sum(_share_lost(one, window) for one in lost) / len(ranges)
    losses = "\n".join(
        f"  partition {one.partition}: the first record still there was produced at {_when(one)} "
        f"(offset {one.low}); about {_share_lost(one, window):.0%} lost"
        for one in lost
    )
    return (
        f"Retention of the topic {topic!r} has deleted about {share:.0%} of the window {window}, in "
        f"{len(lost)} of {len(ranges)} partitions; expected all of it to be there:\n{losses}\n"
        "Land a later day, or raise retention.ms of the topic before the next one is lost."
    )


def _when(one: OffsetRange) -> str:
    if one.first_timestamp is None:
        return "(none is)"
    return datetime.fromtimestamp(one.first_timestamp / 1000, timezone.utc).isoformat(timespec="seconds")
