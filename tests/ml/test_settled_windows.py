from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from ml.__main__ import STOPPED, main
from ml.artifact import Window
from ml.errors import Misconfigured
from ml.steps import backfill_windows, settled_window
from ml.store import Store

DAY = date(2026, 3, 10)
LAST_MINUTE = datetime(2026, 3, 11, 0, 59, tzinfo=timezone.utc)
SETTLED = datetime(2026, 3, 11, 1, 0, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clicks pipeline at one hour east of Greenwich, waiting two hours for late events."""
    monkeypatch.setenv("RETRAIN_CLICKS__LANDING__TIME_ZONE", "Europe/Berlin")


def test_a_day_that_is_over_is_refused_while_its_late_events_are_waited_for() -> None:
    with pytest.raises(Misconfigured, match=r"2026-03-10 settles at 2026-03-11 01:00 UTC, 120 minutes after"):
        settled_window("clicks", DAY, LAST_MINUTE)

    assert settled_window("clicks", DAY, SETTLED) == Window.of_day(DAY, "Europe/Berlin")


def test_days_are_refused_together_while_the_last_of_them_has_not_settled() -> None:
    with pytest.raises(Misconfigured, match="2026-03-10 settles at 2026-03-11 01:00 UTC"):
        backfill_windows("clicks", "2026-03-08", "2026-03-10", LAST_MINUTE)

    windows = backfill_windows("clicks", "2026-03-08", "2026-03-10", SETTLED)
    assert [window.day("Europe/Berlin").day for window in windows] == [8, 9, 10]


@pytest.mark.parametrize("command", ["land_examples", "resolve_production", "run", "schema infer"])
def test_a_night_that_is_named_before_its_day_is_over_makes_nothing(
    command: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    tomorrow = datetime.now(timezone.utc).date() + timedelta(days=1)

    assert main([*command.split(), "--pipeline", "clicks", "--day", str(tomorrow)]) == STOPPED

    assert f"Misconfigured: {tomorrow} settles at " in capsys.readouterr().err
    assert not store.root.exists()
