from __future__ import annotations

from typing import Any

import pytest

from ml.artifact import Artifact
from ml.config import Pipeline
from ml.errors import NoRecords, TooManyRejects
from ml.landing import check_landed
from ml.landing.tally import Tally
from ml.pipelines import load_pipeline


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load_pipeline("clicks")  # max_reject_fraction: 0.05


def known(**changed: Any) -> dict[str, Any]:
    return {**Tally().as_facts(), **Tally().as_measurements(), **changed}


def test_few_rejects_pass(pipeline: Pipeline) -> None:
    check_landed(pipeline, known(accepted=95, rejected={"not JSON": 5}))


def test_too_many_rejects_are_named_by_reason_and_first_place(pipeline: Pipeline) -> None:
    places = {"not JSON": {"partition": 1, "offset": 17}, "tombstone": {"partition": 0, "offset": 3}}
    counts = known(accepted=94, rejected={"tombstone": 1, "not JSON": 5}, reject_examples=places)

    with pytest.raises(
        TooManyRejects, match=r"(?s)6 of 100 .*6\.00%.*5\.00%.*5 not JSON, .*1, offset 17.*tomb"
    ):
        check_landed(pipeline, counts)


def test_a_window_of_rejects_only_is_too_many_rejects(pipeline: Pipeline) -> None:
    place = {"not JSON": {"partition": 0, "offset": 0}}

    with pytest.raises(TooManyRejects):
        check_landed(pipeline, known(rejected={"not JSON": 1}, reject_examples=place))


def test_an_empty_window_says_what_was_there_instead(pipeline: Pipeline) -> None:
    counts = known(scanned=10, outside=9, late=1, first_scanned_event=1_773_100, last_scanned_event=1_773_187)

    with pytest.raises(
        NoRecords, match=r"10 records around it 9 are outside and 1 late.*event_time.*1970-01-01"
    ):
        check_landed(pipeline, counts)


@pytest.mark.parametrize("moment", [2**63 - 1, -(2**63)])
def test_an_impossible_event_time_does_not_hide_the_message(pipeline: Pipeline, moment: int) -> None:
    with pytest.raises(NoRecords, match="no date"):
        check_landed(pipeline, known(scanned=1, first_scanned_event=moment, last_scanned_event=moment))


def test_the_examples_are_kept_as_evidence(pipeline: Pipeline) -> None:
    examples = Artifact(kind="examples", uri="store:x", digest="d")

    with pytest.raises(NoRecords) as raised:
        check_landed(pipeline, known(), examples)
    assert raised.value.evidence == examples
