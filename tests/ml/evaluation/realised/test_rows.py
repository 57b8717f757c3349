"""A day's events joined to its answers from files, hour by hour."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.config import Realised
from ml.errors import DataRejected, Misconfigured
from ml.evaluation.realised import judge_realised
from ml.evaluation.realised.rows import PREDICTIONS, Day, join
from ml.landing.predictions import AnswerLog
from ml.store import Draft
from tests.ml.small_pipeline import DAY, land, row, small_pipeline, table

HOUR, MINUTE = 3_600_000, 60_000
SETTING = Realised(inputs=("user", "hour"), within_minutes=30)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


def answers(*given: tuple[float, str, float]) -> list[dict[str, Any]]:
    """Answers so many hours after midnight, to a user, each with its score."""
    return [
        {
            "row": number,
            "trial": 0,
            "time": DAY.start_ms + round(at * HOUR),
            "track": "canary",
            "user": user,
            "score": score,
            "key.user": user,
            "key.hour": "8",
        }
        for number, (at, user, score) in enumerate(given)
    ]


def events(*given: tuple[float, str, int]) -> list[dict[str, Any]]:
    """Events so many hours after midnight, of a user, bought or not."""
    return [row(time=DAY.start_ms + round(at * HOUR), user=user, bought=label) for at, user, label in given]


def day_of(place: Path, answered: list[dict[str, Any]], happened: list[dict[str, Any]]) -> Day:
    schema = AnswerLog(place, "small", SETTING).schema
    pq.write_table(pa.Table.from_pylist(answered, schema), place / PREDICTIONS, row_group_size=2)
    examples = land(table(happened), place / "examples", row_group_size=2)
    return Day(small_pipeline(place / "pipeline"), SETTING, DAY, examples, place)


def test_events_find_their_answers_across_hours_and_an_answer_counts_once(place: Path):
    answered = answers((0.9, "ann", 0.1), (1.0, "bob", 0.2), (1.95, "ann", 0.3), (5.0, "cleo", 0.4))
    happened = events(
        (2.1, "ann", 0), (1.05, "ann", 1), (1.2, "ann", 0), (2.2, "ann", 1), (1.6, "bob", 1), (5.0, "cleo", 1)
    )

    joined = join(day_of(place, answered, happened))

    found = [(one["user"], one["score"], one["label"]) for one in joined.rows.to_pylist()]
    assert found == [("ann", 0.1, True), ("ann", 0.3, False), ("cleo", 0.4, True)]
    assert joined.repeated == 2


def test_it_does_not_matter_how_many_hours_there_are_between_an_answer_and_its_event(place: Path):
    generator = np.random.default_rng(7)
    times = np.sort(generator.uniform(0, 23, 400))
    users = [f"user-{number}" for number in generator.integers(0, 40, 400)]
    answered = answers(*zip(times.tolist(), users, [0.5] * 400, strict=True))
    happened = events(*((at + 0.2, user, 0) for at, user in zip(times.tolist(), users, strict=True)))

    joined = join(day_of(place, answered, happened))

    assert joined.rows.num_rows + joined.repeated == 400
    assert len(set(joined.used.tolist())) == joined.rows.num_rows > 300


def test_a_label_that_is_neither_0_nor_1_stops_it(place: Path):
    day = day_of(place, answers((1.0, "ann", 0.1)), events((1.1, "ann", 2)))

    with pytest.raises(DataRejected, match="'bought' was expected to be 0 or 1"):
        join(day)


def test_examples_of_another_schema_are_an_error_that_names_the_field(place: Path):
    day = day_of(place, answers((1.0, "ann", 0.1)), events((1.1, "ann", 1)))
    pq.write_table(table(events((1.1, "ann", 1))).drop(["hour"]), place / "examples" / "part-00000.parquet")
    (place / "examples" / "part-00001.parquet").unlink()

    with pytest.raises(Misconfigured, match="no column hour"):
        join(day)


def test_the_report_has_every_trial_with_its_counts_and_says_what_is_missing(place: Path):
    day = day_of(place, answers((1.0, "ann", 0.1)), events((1.1, "ann", 1)))
    counts = {"kept": 1, "for_the_other": 2, "without_score": 3, "without_key": 4}
    trial = {"version": 2, "stable": 1, "since": DAY.start.isoformat(), "until": DAY.end.isoformat()}
    landed = {
        "trials": [trial, {**trial, "version": 3}],
        "counts": [{"canary": counts, "stable": {**counts, "kept": 0}}] * 2,
        "unreadable": 5,
        "hours_without_a_file": ["2026-03-10T07"],
    }
    draft = Draft(place, "realised")

    judge_realised(day, landed, draft)

    report = json.loads((place / "realised.json").read_text())
    first, second = report["trials"]
    assert (first["verdict"], second["verdict"]) == ("INCONCLUSIVE", "INCONCLUSIVE")
    assert first["tracks"]["canary"]["version"] == 2
    assert (first["tracks"]["canary"]["rows"], second["tracks"]["canary"]["rows"]) == (1, 0)
    assert (first["tracks"]["canary"]["for_the_other"], report["unreadable"]) == (2, 5)
    assert first["reasons"] == [
        "1 of canary's 1 answers were joined, expected at least 1,000 (realised.min_rows)",
        "the router has recorded no answer of stable that could be joined",
        "the router's record has no file for 1 of the hours (2026-03-10T07 UTC is the first)",
        "5 lines of the router's record could not be read",
    ]
