"""The router's record of answers, landed as far as two versions answered side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ml.config import Realised
from ml.errors import Misconfigured
from ml.landing import predictions
from ml.landing.predictions import PREDICTIONS_FILE, AnswerLog, land_predictions
from ml.store import Draft
from ml.trials import TrialSpan

DAY = 1_773_100_800_000  # 2026-03-10 00:00 UTC
HOUR = 3_600_000
TRIAL = TrialSpan(version=2, stable=1, since="2026-03-10T01:30:00+00:00", until="2026-03-10T03:00:00+00:00")
LATER = TrialSpan(version=3, stable=1, since="2026-03-10T03:10:00+00:00", until="2026-03-10T04:00:00+00:00")
Land = Callable[..., tuple[list[dict[str, Any]], dict[str, Any]]]


def line(at: float, **values: Any) -> bytes:
    """An answer so many hours after midnight."""
    usual = {"trace": f"t{at}", "user": "u", "track": "canary", "answered_by": "canary", "score": 0.25}
    return json.dumps({"time": DAY + round(at * HOUR), **usual, "key": ["u", "i"], **values}).encode() + b"\n"


@pytest.fixture
def land(tmp_path: Path) -> Land:
    def land(
        hours: dict[int, list[bytes]],
        setting: Realised | None = None,
        trials: tuple[TrialSpan, ...] = (TRIAL,),
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        for hour, lines in hours.items():
            (tmp_path / f"clicks-2026-03-10T{hour:02d}.jsonl").write_bytes(b"".join(lines))
        draft = Draft(tmp_path / "draft", "predictions")
        draft.path.mkdir()
        answers = AnswerLog(tmp_path, "clicks", setting or Realised(inputs=("user_id", "item_id")))
        land_predictions(answers, trials, draft)
        rows = pq.read_table(draft.path / PREDICTIONS_FILE).to_pylist()
        return rows, json.loads((draft.path / "predictions.json").read_text())

    return land


def test_answers_of_the_trials_are_kept_in_their_order_with_what_they_are_found_by(land: Land):
    hours = {
        1: [line(1.2), line(1.5, user="a", key=["a", "i1"]), line(1.9, track="stable", answered_by="stable")],
        2: [line(2.5, score=1)],
        3: [line(3.0), line(3.5, user="c")],
    }

    rows, content = land(hours, trials=(TRIAL, LATER))

    assert [(row["row"], row["trial"], row["track"]) for row in rows] == [
        (0, 0, "canary"),
        (1, 0, "stable"),
        (2, 0, "canary"),
        (3, 1, "canary"),
    ]
    assert (rows[0]["key.user_id"], rows[0]["key.item_id"], rows[0]["user"]) == ("a", "i1", "a")
    assert (rows[2]["score"], rows[3]["time"]) == (1.0, DAY + round(3.5 * HOUR))
    assert content["counts"][0]["canary"]["kept"] == 2
    assert content["trials"] == [TRIAL, LATER]


def test_what_cannot_be_joined_is_counted(land: Land):
    lines = [
        line(2.0),
        line(2.1, answered_by="stable"),
        line(2.2, score=None),
        line(2.3, key=None),
        line(2.4, key=["only one"]),
    ]

    rows, content = land({2: lines})

    assert len(rows) == 1
    assert content["counts"][0]["canary"] == {
        "kept": 1,
        "for_the_other": 1,
        "without_score": 1,
        "without_key": 2,
    }
    assert content["hours_without_a_file"] == ["2026-03-10T01"]


@pytest.mark.parametrize(
    "damage",
    [
        line(2.1)[:40] + line(2.2),
        b"not JSON\n",
        b"{}\n",
        b"[1]\n",
        line(2.1, time="2 o'clock"),
        line(2.1)[:50],
    ],
    ids=["torn", "no JSON", "nothing", "no object", "another type", "cut off at the end"],
)
def test_a_line_that_is_none_of_the_routers_costs_no_other(land: Land, damage: bytes):
    rows, content = land({2: [line(2.0), line(2.05), damage]})

    assert (len(rows), content["unreadable"]) == (2, 1)


def test_a_key_may_be_the_request_alone_or_with_inputs(land: Land):
    rows, _ = land({2: [line(2.0, key=["i"], trace="req-1")]}, Realised(request="rid", inputs=("item_id",)))

    assert (rows[0]["key.rid"], rows[0]["key.item_id"]) == ("req-1", "i")


def test_a_key_of_the_request_alone_needs_no_inputs(land: Land):
    rows, content = land({2: [line(2.0, key=[], trace="req-1")]}, Realised(request="rid"))

    assert ([row["key.rid"] for row in rows], content["counts"][0]["canary"]["without_key"]) == (["req-1"], 0)


def test_blocks_make_no_difference(land: Land, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(predictions, "BLOCK_BYTES", 300)
    times = [2 + number / 1000 for number in range(50)]

    rows, _ = land({2: [line(at) for at in times]})

    assert [row["time"] for row in rows] == [DAY + round(at * HOUR) for at in times]
    assert [row["row"] for row in rows] == list(range(50))


def test_no_record_at_all_is_an_error_that_says_where_it_was_looked_for(land: Land, tmp_path: Path):
    with pytest.raises(Misconfigured, match=r"no file of clicks in .* 2026-03-10T01 to 02 UTC"):
        land({7: [line(7.0)]})
