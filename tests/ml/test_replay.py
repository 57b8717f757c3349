from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from datetime import date, timedelta

import pytest

from ml.artifact import Artifact, Window
from ml.errors import Misconfigured, Unavailable, Withheld
from ml.replay import Replay, replay_nights

DAYS = [date(2026, 3, 10) + timedelta(days=after) for after in range(3)]
WINDOWS = [Window.of_day(day, "UTC") for day in DAYS]
KEYS = [f"cli/clicks/{day}" for day in DAYS]
PUSHED = Artifact(kind="pushed_model", uri="store:clicks/pushed_model/x", digest="d")


def walk(windows: Sequence[Window] = WINDOWS) -> Replay:
    replay = Replay()
    replay_nights("clicks", windows, replay)
    return replay


@pytest.mark.parametrize("error", [Unavailable("no broker"), OSError(errno.ENOSPC, "no room for the model")])
def test_every_night_is_walked_whatever_came_of_the_one_before(
    nights_end: Callable[..., None], error: Exception
) -> None:
    nights_end(Withheld("STALE"), error, PUSHED)

    replay = walk()
    assert replay.nights == KEYS
    assert replay.failed == {KEYS[1]: f"{type(error).__name__}: {error}"}


@pytest.mark.parametrize(
    "error", [Misconfigured("no topic"), ZeroDivisionError("a fault"), KeyboardInterrupt()]
)
def test_what_every_further_night_would_end_with_stops_the_replay_and_what_was_done_is_known(
    nights_end: Callable[..., None], error: BaseException
) -> None:
    replay = Replay()
    nights_end(PUSHED, error)

    with pytest.raises(type(error)):
        replay_nights("clicks", WINDOWS, replay)
    assert replay.nights == KEYS[:2]
    assert list(replay.failed) == [KEYS[1]]


def test_the_order_of_the_days_is_the_callers(nights_end: Callable[..., None]) -> None:
    nights_end(PUSHED, PUSHED, PUSHED)

    assert walk(WINDOWS[::-1]).nights == KEYS[::-1]
