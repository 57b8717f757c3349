from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from ml.artifact import Artifact, Window
from ml.errors import Misconfigured, Unavailable, Withheld
from ml.replay import replay_nights
from ml.walk import Walk

DAYS = [date(2026, 3, 10) + timedelta(days=after) for after in range(3)]
WINDOWS = [Window.of_day(day, "UTC") for day in DAYS]
KEYS = [f"cli/clicks/{day}" for day in DAYS]
PUSHED = Artifact(kind="pushed_model", uri="store:clicks/pushed_model/x", digest="d")


@pytest.fixture
def nights_end(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the nights end in these ways, one after the other."""

    def end(*outcomes: Artifact | Exception) -> None:
        remaining = iter(outcomes)

        def push(walk: Walk) -> Artifact:
            outcome = next(remaining)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(Walk, "push_model", property(push))

    return end


def test_every_night_is_walked_whatever_came_of_the_one_before(nights_end: Callable[..., None]) -> None:
    nights_end(Withheld("STALE"), Unavailable("no broker"), PUSHED)

    replay = replay_nights("clicks", WINDOWS)
    assert replay.nights == KEYS
    assert replay.failed == {KEYS[1]: "Unavailable: no broker"}


def test_what_a_person_must_change_first_stops_the_replay(nights_end: Callable[..., None]) -> None:
    nights_end(PUSHED, Misconfigured("no topic"))

    with pytest.raises(Misconfigured, match="no topic"):
        replay_nights("clicks", WINDOWS)


def test_the_order_of_the_days_is_the_callers(nights_end: Callable[..., None]) -> None:
    nights_end(PUSHED, PUSHED, PUSHED)

    assert replay_nights("clicks", WINDOWS[::-1]).nights == KEYS[::-1]
