"""When a person is asked about a night, as far as the store tells it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ml import steps
from ml.artifact import Artifact, Window
from ml.config import Pipeline
from ml.connections import MlflowConnection, ServingConnection
from ml.day import Day
from ml.errors import Withheld
from ml.identities import identify_pushed_model
from ml.manifest import Identity
from ml.release import Records
from ml.steps.approval import NOT_ASKED, said_of
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


@pytest.fixture
def servers(tmp_path: Path) -> dict[str, Any]:
    """Servers that nobody may ask: they are nowhere."""
    serving = ServingConnection(
        rest="http://nowhere.invalid",
        grpc="nowhere.invalid:1",
        models_dir=tmp_path,
        server_models_dir=tmp_path,
        config_file=tmp_path / "models.config",
    )
    return {"serving": serving, "mlflow": MlflowConnection(uri="http://nowhere.invalid")}


NAMELESS = [None, {}, {"by": "", "at": "2026-11-21T07:00:00+00:00"}]


@pytest.mark.parametrize("approval", NAMELESS)
def test_a_blessed_night_is_withheld_if_the_task_that_asks_was_passed_over(
    records: Records, servers: dict[str, Any], approval: Any
) -> None:
    window = Window.of_day(ASKED, records.pipeline.landing.time_zone)
    blessed = {"verdict": "PASS", "publish": True, "reasons": []}
    identity = Identity("blessing", "clicks", window, {}, {})
    blessing = records.store.produce(identity, lambda draft: draft.write_json(blessed))

    with pytest.raises(Withheld, match="nobody's approval is on record"):
        steps.push_model(blessing, {"night": {}}, approval, **servers)


@pytest.mark.parametrize("approval", NAMELESS)
def test_a_promotion_is_withheld_if_the_task_that_asks_was_passed_over(
    records: Records, servers: dict[str, Any], approval: Any
) -> None:
    judgement = {"version": "20261120001", "stable": "20261119001", "summary": "better"}
    run = {"key": "rollout_clicks/1", "url": "http://airflow", "approval": approval}

    with pytest.raises(Withheld, match="clear that task, and answer its question"):
        steps.promote_canary("clicks", judgement, run, **servers)


def test_the_ledger_names_who_approved_and_nobody_where_nobody_had_to() -> None:
    assert said_of({"by": "ann", "at": "2026-11-21T07:00"}) == "approved by ann at 2026-11-21T07:00"
    assert said_of({"needless": "FAIL needs nobody's approval"}) == said_of(NOT_ASKED) == ""
