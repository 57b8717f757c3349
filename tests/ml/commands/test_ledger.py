"""The ledger through the command line: all of it, and what served at a moment."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timezone
from pathlib import Path

import pytest

from ml.__main__ import STOPPED, main
from ml.pipelines import load_pipeline
from ml.release import Records
from ml.store import Store
from tests.ml.release.published import publish, write_at

CLICKS = Path(__file__).parents[3] / "ml" / "pipelines" / "clicks"
FIRST, SECOND = 20261101001, 20261102001
# A second of March in Tokyo that is still February in UTC, and the second before it.
HANDED_OVER = datetime.fromisoformat("2026-03-01T08:30:00+09:00")
TORN = b'{"event": "mov'


@pytest.fixture
def records(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Records:
    """A pipeline of Tokyo whose second version took over from its first at half past eight there."""
    folder = tmp_path / "pipelines" / "views"
    shutil.copytree(CLICKS, folder)
    text = (folder / "pipeline.yaml").read_text()
    assert "time_zone: UTC" in text
    (folder / "pipeline.yaml").write_text(text.replace("time_zone: UTC", "time_zone: Asia/Tokyo"))
    monkeypatch.setenv("RETRAIN_PIPELINES", str(folder.parent))
    records = Records(load_pipeline("views"), store)
    for day, moment in ((1, "2026-03-01T07:00:00+09:00"), (2, HANDED_OVER.isoformat())):
        write_at(moment, monkeypatch)
        publish(records, day)
    return records


def tear(records: Records) -> str:
    """Kill a writer in the middle of a line; returns what is to be said of it."""
    with records.ledger.path.open("ab") as file:
        file.write(TORN)
    return f"a torn line of {len(TORN)} bytes after line 4: a writer was killed; the next move sets it aside"


def test_every_line_is_listed_with_who_moved_what_and_why(
    records: Records, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    assert main(["ledger", "--pipeline", "views"]) == 0

    header, _, *rows = capsys.readouterr().out.strip().splitlines()
    assert header.split()[:4] == ["line", "time", "event", "action"]
    assert [row.split() for row in rows] == [
        ["1", "2026-02-28T22:00:00", "moving", "push", "stable", str(FIRST), "ada", "better"],
        ["2", "2026-02-28T22:00:00", "moved", "push", "stable", str(FIRST), "ada", "better"],
        ["3", "2026-02-28T23:30:00", "moving", "push", "stable", str(FIRST), str(SECOND), "ada", "better"],
        ["4", "2026-02-28T23:30:00", "moved", "push", "stable", str(FIRST), str(SECOND), "ada", "better"],
    ]


@pytest.mark.parametrize(
    ("at", "version"),
    [
        ("2026-03-01T08:29:59", FIRST),
        ("2026-03-01T08:30:00", SECOND),
        # The same moments by other clocks.
        ("2026-02-28T23:29:59+00:00", FIRST),
        ("2026-03-01T00:30:00+01:00", SECOND),
        ("2026-03-01T06:59:59", None),
    ],
)
def test_a_moment_without_an_offset_is_one_in_the_pipelines_time_zone(
    records: Records, capsys: pytest.CaptureFixture[str], at: str, version: int | None
) -> None:
    assert main(["ledger", "--pipeline", "views", "--at", at, "--json"]) == 0

    served = json.loads(capsys.readouterr().out)
    assert served["version"] == version
    assert datetime.fromisoformat(served["at"]).tzinfo == timezone.utc


def test_what_served_is_said_in_a_sentence(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "--pipeline", "views", "--at", "2026-03-01T09:00"]) == 0

    assert capsys.readouterr().out == (
        f"at 2026-03-01T00:00:00+00:00 version {SECOND} was served: push of 2026-02-28T23:30:00 by ada, "
        "better\n"
    )


def test_what_is_no_moment_is_named(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "--pipeline", "views", "--at", "yesterday"]) == STOPPED

    assert "'yesterday' is no moment; expected ISO 8601" in capsys.readouterr().err


@pytest.mark.parametrize("asked", [(), ("--at", "2026-03-01T09:00")], ids=["list", "at"])
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_a_torn_line_is_named_and_changes_nothing_of_what_is_told(
    records: Records,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    asked: tuple[str, ...],
    form: tuple[str, ...],
) -> None:
    command = ["ledger", "--pipeline", "views", *asked, *form]
    assert main(command) == 0
    whole = capsys.readouterr().out
    assert "torn" not in caplog.text

    said = tear(records)

    assert main(command) == 0
    assert capsys.readouterr().out == whole
    assert caplog.text.count(said) == 1
