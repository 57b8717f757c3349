"""Whether the topic still holds a whole window, which its offsets alone do not show.

Asked for a moment that retention has passed over, a broker answers the lowest offset that it still has, as
if the day began there. So the time of the first record still there is held against the window's start. A
topic that is compacted loses records between others, and nothing that a broker tells shows which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from ml.artifact import Window
from ml.errors import WindowExpired
from ml.landing.ranges import OffsetRange

ADVICE = (
    "Land a later day, or raise retention.ms of the topic before the next one is lost. To go on with what is "
    "left, land the day with --accept-gap REASON (in Airflow the parameter accept_gap), a reason not given "
    "for this day before: it stays with everything that is made from the day."
)
COMPACTED_ADVICE = (
    "Land from a topic with cleanup.policy=delete. To go on with what is there, land the day with "
    "--accept-gap REASON (in Airflow the parameter accept_gap): it stays with everything that is made from "
    "the day."
)


@dataclass(frozen=True)
class Loss:
    """What one partition has lost of a window.

    Attributes:
        partition: its number.
        low: the lowest offset that it still has.
        first_timestamp: when the record there was produced (milliseconds since the epoch); None if
            nothing is left.
        share: the part of the window's time before that record, from 0 to 1.
    """

    partition: int
    low: int
    first_timestamp: int | None
    share: float


@dataclass(frozen=True)
class Beginning:
    """Where one partition begins, whatever was removed behind that.

    Attributes:
        partition: its number.
        offset: of the first record that is there; None if there is none.
        timestamp: when that was produced (milliseconds since the epoch); None if there is none.
    """

    partition: int
    offset: int | None = None
    timestamp: int | None = None


@dataclass(frozen=True)
class Gap:
    """What is missing of a window, or cannot be shown to be there; false if it is whole.

    Attributes:
        partitions: how many the topic has.
        losses: those of them that retention has taken some from.
        compacted: whether the topic's cleanup policy removes records between others.
        beginnings: of a compacted topic, what is still there at the beginning of each partition.
    """

    partitions: int
    losses: tuple[Loss, ...] = ()
    compacted: bool = False
    beginnings: tuple[Beginning, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.losses) or self.compacted

    @property
    def share(self) -> float:
        """The part of the window that retention has taken, all partitions alike, from 0 to 1."""
        return sum(loss.share for loss in self.losses) / self.partitions

    def as_json(self) -> dict[str, Any]:
        """What the offset manifest says of it."""
        return {
            "share": self.share,
            "losses": [asdict(loss) for loss in self.losses],
            "compacted": self.compacted,
        }

    def caveats(self, day: str, reason: str) -> Iterator[str]:
        """What a reader of anything made from the day must know, if a person accepted the gap."""
        accepted = f"accepted: {reason}"
        if self.losses:
            yield f"{day}: {about(self.share)} of the window was lost to retention, {accepted}"
        if self.compacted:
            yield f"{day}: compaction may have removed records of the window, {accepted}"
        if not self:
            yield f"{day}: the topic has lost records of the window, nobody can say how many, {accepted}"


def find_losses(window: Window, ranges: Sequence[OffsetRange]) -> Gap:
    """What retention has deleted of a window.

    A partition from which nothing was deleted (its lowest offset is 0) is whole. Otherwise the first record
    still there tells how far retention has come: records are produced after their event, so the window is
    whole if that record was produced at its start or before. A partition that was emptied tells nothing
    itself, and is trusted if another shows that retention reaches back beyond the window's start.
    """
    reaches_back = any(_reaches_back(one, window) for one in ranges)
    losses = (
        Loss(one.partition, one.low, one.first_timestamp, _share_lost(one, window))
        for one in ranges
        if _was_deleted_from(one) and not (_reaches_back(one, window) or (_is_empty(one) and reaches_back))
    )
    return Gap(len(ranges), tuple(losses))


def check_gap(topic: str, window: Window, gap: Gap, found: str = "") -> None:
    """Stop if a window is not whole, or cannot be shown to be.

    Args:
        topic: its name, for the message.
        window: what was to be landed.
        gap: what is missing of it.
        found: when it was found out, if not at the beginning, such as " while it was read".

    Raises:
        WindowExpired: naming each partition that lost some, what is left, and how much is lost; of a
            compacted topic each partition and where it begins.
    """
    if gap.losses:
        raise WindowExpired(_loss_message(topic, window, gap, found))
    if gap.compacted:
        raise WindowExpired(_compacted_message(topic, window, gap))


def about(share: float) -> str:
    """A share in words: what is less than half a percent is not nothing."""
    return "less than 1%" if 0 < share < 0.005 else f"about {share:.0%}"


def _was_deleted_from(one: OffsetRange) -> bool:
    return one.low > 0


def _is_empty(one: OffsetRange) -> bool:
    return one.low == one.high


def _reaches_back(one: OffsetRange, window: Window) -> bool:
    return one.first_timestamp is not None and one.first_timestamp <= window.start_ms


def _share_lost(one: OffsetRange, window: Window) -> float:
    if one.first_timestamp is None:
        return 1.0
    return min((one.first_timestamp - window.start_ms) / (window.end_ms - window.start_ms), 1.0)


def _loss_message(topic: str, window: Window, gap: Gap, found: str) -> str:
    losses = "\n".join(
        f"{_beginning(loss.partition, loss.low, loss.first_timestamp)}; {about(loss.share)} lost"
        for loss in gap.losses
    )
    more = " The topic is compacted too, so more of it may be gone." if gap.compacted else ""
    return (
        f"Retention of the topic {topic!r} has deleted {about(gap.share)} of the window {window}{found}, in "
        f"{len(gap.losses)} of {gap.partitions} partitions; expected all of it to be there:\n{losses}\n"
        f"{ADVICE}{more}"
    )


def _compacted_message(topic: str, window: Window, gap: Gap) -> str:
    beginnings = "\n".join(_beginning(one.partition, one.offset, one.timestamp) for one in gap.beginnings)
    return (
        f"The topic {topic!r} is compacted (its cleanup.policy holds 'compact'): of records with the same "
        f"key only the last is sure to be there, in each of its {gap.partitions} partitions. Whether records "
        f"of the window {window} are gone, and which share of it, cannot be known; expected a topic that "
        f"keeps every record until its retention ends:\n{beginnings}\n{COMPACTED_ADVICE}"
    )


def _beginning(partition: int, offset: int | None, timestamp: int | None) -> str:
    """A line about the first record that a partition still has."""
    when = "(none is)"
    if timestamp is not None:
        when = datetime.fromtimestamp(timestamp / 1000, timezone.utc).isoformat(timespec="seconds")
    place = "" if offset is None else f" (offset {offset})"
    return f"  partition {partition}: the first record still there was produced at {when}{place}"
