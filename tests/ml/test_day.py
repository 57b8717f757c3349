from __future__ import annotations

from pathlib import Path

import pytest

from ml import steps
from ml.day import Day
from ml.errors import Misconfigured


def test_a_step_that_is_given_no_day_says_so(home: Path) -> None:
    with pytest.raises(Misconfigured, match="a night of clicks was given no day, but '' to ''"):
        steps.decide_blessing("clicks", "", "", {})


def test_a_night_that_begins_at_a_second_midnight_is_that_of_its_day(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_CLICKS__LANDING__TIME_ZONE", "America/Havana")

    night = Day.of("clicks", "2026-11-01T05:00:00+00:00", "2026-11-02T05:00:00+00:00")

    assert str(night.window) == "[2026-11-01 04:00, 2026-11-02 05:00) UTC"
    assert night.name == "2026-11-01"
