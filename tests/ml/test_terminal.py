from __future__ import annotations

import pytest
from rich.table import Table

from ml.commands.serving import LEDGER_COLUMNS
from ml.terminal import WIDTH, render, render_table

LINE = {
    "line": 1204,
    "time": "2026-11-02T02:31:09",
    "event": "moving",
    "action": "withdraw",
    "label": "stable",
    "from": 20261101001,
    "to": 20261102001,
    "who": "retrain_clicks/scheduled__2026-11-01T00:00:00+00:00",
    "verdict": "INCONCLUSIVE",
    "reason": "approved by ann at 2026-03-10T09:00:00+00:00; AUC better by 0.4 % [of 100,000 rows]",
}
PROSE = ("who", "reason")


@pytest.fixture(params=["80", ""], ids=["80 columns", "no terminal"])
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a table is read on; under pytest there is no terminal unless the environment says so."""
    monkeypatch.setenv("COLUMNS", request.param)


def below(heading: str, shown: str) -> list[str]:
    """What stands in a column of a table, line by line."""
    header, _, *lines = shown.strip("\n").splitlines()
    start = header.index(f" {heading} " if f" {heading} " in header else f" {heading}") + 1
    following = header[start:].removeprefix(heading).lstrip()
    end = header.rindex(following) - 2 if following else None
    return [line[start:end].strip() for line in lines]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("column", [column for column in LEDGER_COLUMNS if column not in PROSE])
def test_a_version_a_time_and_a_verdict_of_the_ledger_are_whole(column: str) -> None:
    first, *rest = below(column, render_table([LINE], LEDGER_COLUMNS))

    assert first == str(LINE[column])
    assert not any(rest)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("column", PROSE)
def test_prose_goes_on_below_and_loses_nothing(column: str) -> None:
    folded = below(column, render_table([LINE], LEDGER_COLUMNS))

    assert "".join(folded).replace(" ", "") == str(LINE[column]).replace(" ", "")


def test_any_table_folds_what_is_too_long_for_it() -> None:
    table = Table("day", "why")
    table.add_row("2026-03-10", "x" * WIDTH)

    shown = render(table, 40)
    assert (shown.count("x"), max(map(len, shown.splitlines()))) == (WIDTH, 40)
