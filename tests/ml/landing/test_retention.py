from __future__ import annotations

from dataclasses import replace

import pytest

from ml.artifact import Window
from ml.errors import WindowExpired
from ml.landing.ranges import OffsetRange
from ml.landing.retention import Beginning, Gap, check_gap, find_losses

WINDOW = Window.parse("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")
HOUR = 3_600_000


def kept_since(hours: float | None, partition: int = 0, low: int = 500, high: int = 900) -> OffsetRange:
    """A partition whose first record was produced so many hours after the window's start."""
    first = None if hours is None else int(WINDOW.start_ms + hours * HOUR)
    return OffsetRange(partition, low, high, low, high, first)


def untouched(partition: int = 0) -> OffsetRange:
    return kept_since(None, partition, low=0)


def emptied(partition: int = 0) -> OffsetRange:
    return kept_since(None, partition, low=900)


@pytest.mark.parametrize(
    "ranges",
    [
        [untouched()],
        [kept_since(-5)],
        [kept_since(0)],
        [untouched(0), kept_since(-0.001, 1)],
        [kept_since(-5, 0), emptied(1)],
        [OffsetRange(0, 0, 0, 0, 0, None)],
    ],
    ids=["nothing deleted", "deleted before", "just whole", "both", "an idle partition", "a new topic"],
)
def test_a_whole_window_passes(ranges: list[OffsetRange]) -> None:
    assert not find_losses(WINDOW, ranges)


@pytest.mark.parametrize(
    ("ranges", "lost"),
    [
        ([kept_since(6)], "25%"),
        ([kept_since(30)], "100%"),
        ([emptied()], "100%"),
        ([kept_since(12, 0), untouched(1)], "25%"),
        ([kept_since(-3, 0), kept_since(24, 1)], "50%"),
        ([untouched(0), emptied(1)], "50%"),
    ],
    ids=["partly gone", "gone", "all gone", "half of one of two", "one of two", "empty, and no other tells"],
)
def test_a_window_that_retention_has_eaten_is_an_error_with_its_size(
    ranges: list[OffsetRange], lost: str
) -> None:
    with pytest.raises(WindowExpired, match=f"about {lost} of the window"):
        check_gap("clicks", WINDOW, find_losses(WINDOW, ranges))


def test_the_message_names_partition_and_first_record() -> None:
    with pytest.raises(
        WindowExpired, match=r"partition 1: .*2026-03-10T06:00:00\+00:00 \(offset 500\); about 25%"
    ):
        check_gap("clicks", WINDOW, find_losses(WINDOW, [untouched(0), kept_since(6, 1)]))


def test_a_loss_too_small_to_round_is_not_called_nothing() -> None:
    gap = find_losses(WINDOW, [kept_since(0.05)])

    with pytest.raises(WindowExpired, match="less than 1% of the window"):
        check_gap("clicks", WINDOW, gap)


def test_a_compacted_topic_is_an_error_that_says_where_its_partitions_begin() -> None:
    gap = Gap(2, compacted=True, beginnings=(Beginning(0, 37, WINDOW.start_ms + 6 * HOUR), Beginning(1)))

    with pytest.raises(WindowExpired, match=r"compacted .* cannot be known") as raised:
        check_gap("clicks", WINDOW, gap)

    assert str(raised.value).splitlines()[1:-1] == [
        "  partition 0: the first record still there was produced at 2026-03-10T06:00:00+00:00 (offset 37)",
        "  partition 1: the first record still there was produced at (none is)",
    ]
    assert "--accept-gap REASON" in str(raised.value)


def test_a_loss_in_a_compacted_topic_may_be_greater_than_it_looks() -> None:
    gap = replace(find_losses(WINDOW, [kept_since(6)]), compacted=True)

    with pytest.raises(WindowExpired, match=r"about 25% of the window(.|\n)*compacted too, so more"):
        check_gap("clicks", WINDOW, gap)


@pytest.mark.parametrize(
    ("gap", "said"),
    [
        (find_losses(WINDOW, [kept_since(6)]), ["2026-03-10: about 25% of the window was lost to retention"]),
        (Gap(2, compacted=True), ["2026-03-10: compaction may have removed records of the window"]),
        (Gap(2), ["2026-03-10: the topic has lost records of the window, nobody can say how many"]),
    ],
    ids=["retention", "compaction", "a topic made anew"],
)
def test_an_accepted_gap_says_what_is_missing_and_why_that_was_accepted(gap: Gap, said: list[str]) -> None:
    assert list(gap.caveats("2026-03-10", "outage")) == [f"{caveat}, accepted: outage" for caveat in said]
