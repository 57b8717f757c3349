from __future__ import annotations

import numpy as np
import pytest

from ml.pipelines import load_pipeline
from ml.release.known_answers import KnownAnswers, difference_of
from ml.release.rest import RestServer
from ml.store import Store

COLUMNS = {
    "age": np.array([31, np.nan], np.float32),
    "user_id": np.array(["ü", ""], object),
    "hour": np.array([3, -1], np.int64),
}
SCORES = np.array([0.1, np.float32(1 / 3)], np.float32)


@pytest.fixture
def answers(store: Store) -> KnownAnswers:
    return KnownAnswers(load_pipeline("clicks"), store)


def test_rows_and_scores_are_read_as_they_were_written(answers: KnownAnswers):
    answers.write(20261102001, COLUMNS, SCORES)
    known = answers.read(20261102001)

    assert known is not None
    columns, scores = known
    assert {name: values.dtype for name, values in columns.items()} == {
        name: values.dtype for name, values in COLUMNS.items()
    }
    for name, values in COLUMNS.items():
        np.testing.assert_array_equal(columns[name], values)
    assert (scores == SCORES).all()


def test_the_versions_that_have_them_are_listed_newest_first(answers: KnownAnswers):
    for version in (20261102001, 20261103001):
        answers.write(version, COLUMNS, SCORES)

    assert answers.versions() == [20261103001, 20261102001]


def test_a_version_without_them_is_asked_nothing(answers: KnownAnswers, tmp_path):
    from ml.connections import ServingConnection

    nowhere = ServingConnection(
        rest="http://127.0.0.1:9",
        grpc="",
        models_dir=tmp_path,
        server_models_dir=tmp_path,
        config_file=tmp_path,
    )
    with RestServer(nowhere, "clicks") as rest:
        assert answers.ask(20261102001, rest) is None


def test_missing_or_unreal_answers_are_infinitely_wrong():
    assert difference_of(SCORES, SCORES.astype(np.float64)) == 0
    assert difference_of(SCORES, SCORES[:1]) == float("inf")
    assert difference_of(SCORES, np.array([0.1, np.nan])) == float("inf")
