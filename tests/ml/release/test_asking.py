"""When a person is asked about a night, as far as the store tells it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from ml import steps
from ml.artifact import Artifact, Window
from ml.config import Pipeline
from ml.day import Day
from ml.identities import identify_pushed_model
from ml.release import Records
from ml.store import Store
from tests.ml.release.conftest import produce
from tests.ml.release.published import publish

ASKED = date(2026, 11, 20)


@pytest.fixture
def records(pipeline: Pipeline, store: Store) -> Records:
    return Records(pipeline, store)


def night_of(records: Records, day: date, model: Artifact | None) -> tuple[Artifact, dict[str, Any]]:
    """Blessing and log of a night."""
    window = Window.of_day(day, records.pipeline.landing.time_zone)
    blessing = produce(records.store, window, "blessing")
    return blessing, {"night": {"artifacts": {"blessing": blessing, "model": model}}, "url": "http://mlflow"}


def test_a_person_is_asked_about_a_night_that_is_newer_than_what_serves(records: Records) -> None:
    publish(records, ASKED.day - 1)
    question = steps.describe_night(*night_of(records, ASKED, None))

    assert (question["decision"], question["futile"]) == ("PAUSED", "")


def test_nobody_is_asked_about_a_night_that_users_have_already(records: Records) -> None:
    """Also if the push was lost before it said so: the next try finishes it."""
    served = publish(records, ASKED.day)

    assert steps.describe_night(*night_of(records, ASKED, served.model))["decision"] == "PUSHED"


def test_nobody_is_asked_about_a_push_that_was_done_before_a_newer_one(records: Records) -> None:
    first = publish(records, ASKED.day)
    blessing, logged = night_of(records, ASKED, first.model)
    identity = identify_pushed_model(Day.of_artifact(blessing), blessing, first.model)
    records.store.produce(identity, lambda draft: draft.write_json({}))
    publish(records, ASKED.day + 1)

    assert steps.describe_night(blessing, logged)["decision"] == "PUSHED"


def test_a_night_that_is_older_than_what_serves_says_that_no_approval_helps(records: Records) -> None:
    newer = publish(records, ASKED.day + 1)
    question = steps.describe_night(*night_of(records, ASKED, None))

    assert question["decision"] == "PAUSED"
    assert f"STALE: {ASKED} has seen data up to" in question["futile"]
    assert f"and {newer.number}, which is served" in question["futile"]
