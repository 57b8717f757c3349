from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ml.artifact import Window, canonical_json
from ml.evaluation.report import Scored, measure
from ml.evaluation.simulation import Truth, draw
from ml.evaluation.slices import Partition


@pytest.fixture
def scored(generator: np.random.Generator) -> Scored:
    return draw(Truth(rows=2000, slices=3), generator)


def test_each_slice_is_measured_as_if_it_had_been_alone(scored: Scored, window: Window) -> None:
    evaluation = measure(scored, window, 0.95)
    inside = scored.partitions[0].codes == 2
    assert scored.production is not None
    alone = Scored(scored.labels[inside], scored.candidate[inside], scored.production[inside])

    assert evaluation["slices"]["part.1"] == measure(alone, window, 0.95)["overall"]


def test_the_evaluation_is_the_same_every_time(scored: Scored, window: Window) -> None:
    assert canonical_json(measure(scored, window, 0.95)) == canonical_json(measure(scored, window, 0.95))


def test_without_production_the_candidate_is_measured_alone(scored: Scored, window: Window) -> None:
    overall = measure(replace(scored, production=None), window, 0.95)["overall"]

    assert overall["candidate"] == measure(scored, window, 0.95)["overall"]["candidate"]
    assert (overall["production"], overall["gain"], overall["reason"]) == (None, None, None)


@pytest.mark.parametrize("strange", [np.nan, np.inf, -0.1, 1.1])
def test_a_candidate_whose_scores_are_no_probabilities_is_not_measured(
    scored: Scored, window: Window, strange: float
) -> None:
    scored.candidate[7] = strange
    evaluation = measure(scored, window, 0.95)

    assert evaluation["overall"]["candidate"] is None
    assert evaluation["overall"]["reason"] == "candidate gave 1 of 2,000 rows a score that is no probability"
    assert evaluation["slices"] == {}


def test_a_production_whose_scores_are_no_probabilities_is_not_compared(
    scored: Scored, window: Window
) -> None:
    assert scored.production is not None
    scored.production[:3] = np.nan
    overall = measure(scored, window, 0.95)["overall"]

    assert overall["candidate"] is not None
    assert (overall["production"], overall["gain"]) == (None, None)
    assert overall["reason"] == "production gave 3 of 2,000 rows a score that is no probability"


def test_a_slice_of_one_label_says_so(scored: Scored, window: Window) -> None:
    negatives = Partition("negative", ("negative",), (~scored.labels).astype(np.uint8))
    section = measure(replace(scored, partitions=[negatives]), window, 0.95)["slices"]["negative"]

    assert section["gain"] is None
    assert (
        section["reason"] == f"0 of {section['rows']:,} rows are positive, where 2 of each label are needed"
    )


def test_no_rows_at_all_are_an_evaluation_too(scored: Scored, window: Window) -> None:
    empty = Scored(
        scored.labels[:0],
        scored.candidate[:0],
        scored.candidate[:0],
        [Partition("a", ("a",), np.zeros(0, np.uint8))],
    )
    evaluation = measure(empty, window, 0.95)

    assert (evaluation["rows"], evaluation["overall"]["candidate"]) == (0, None)
    assert evaluation["slices"]["a"]["rows"] == 0
