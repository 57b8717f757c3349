"""Runs the Airflow commands of docs/backfills.md for real, in their order, each to the end of its nights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from ml.manifest import MANIFEST
from ml.release.run_labels import KIND, WHAT_IF, WHAT_IF_NAME
from tests.demo.clicks import Day
from tests.demo.postgres import INSTALL, find_programs, running_postgres
from tests.demo.stack import pipeline_settings
from tests.integration.airflow_nights import RECORDS, SMALL, running_world
from tests.integration.backfilling import NIGHTS, PIPELINE, REPORTS, Story, wrong_moves
from tests.integration.page_commands import COMMANDS, ROOT

pytestmark = [
    pytest.mark.integration,
    pytest.mark.proof,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(find_programs() is None, reason=INSTALL),
]

DATES = [date(2026, 11, day) for day in (1, 2, 3)]
NAMED = [str(day) for day in DATES]
CHOSEN = {**SMALL, **pipeline_settings("tansu"), "RETRAIN_TRAINING__WINDOW_DAYS": "2"}
PLAN, FILL, REPEAT, JUDGE_ANEW, ACCEPT_GAP, TRY, NORMALLY = [
    line for line in COMMANDS if line.startswith("airflow ")
]
NAME = json.loads(TRY.split("--dag-run-conf ")[1].strip("'"))["what_if"]


@dataclass(frozen=True)
class After:
    """What there is once a command has been followed to its end.

    Attributes:
        begun: the days whose nights it began.
        states: of the nights.
        artifacts: the manifests of the normal artifacts, by their path in the store.
        releases: what serves, how it got there, and what the registry knows.
        logged: the normal nights in MLflow.
        tries: how many each of them had.
    """

    begun: set[str]
    states: dict[str, str]
    artifacts: dict[str, bytes]
    releases: dict[str, Any]
    logged: list[tuple[str, str]]
    tries: dict[str, int]


def follow(story: Story, command: str) -> After:
    """Run a command that creates a backfill, to the end of its last night and its report."""
    started = datetime.now(timezone.utc)
    story.wait_until(story.is_free, "done with the last backfill")
    run(story, command)
    story.created += 1
    story.wait(reports=story.created)
    client, store = MlflowClient(story.world.services.mlflow), story.world.store.root / PIPELINE
    return After(
        story.begun_since(started) & {*NAMED},
        {day: state for day, state in story.states.items() if day in NAMED},
        {
            path.relative_to(store).as_posix(): path.read_bytes()
            for path in store.glob(f"*/*/{MANIFEST}")
            if path.parent.name[:10] in NAMED
        },
        {
            "ledger": story.world.ledger(PIPELINE),
            "served": (story.serving, story.world.served_versions(PIPELINE)),
            "aliases": client.get_registered_model(PIPELINE).aliases,
            "versions": story.world.registered_versions(PIPELINE),
        },
        [run for run in story.logged if run[0] in keys_of(story)],
        {day: len(tries) for day, tries in story.logged_tries.items() if day in NAMED},
    )


def keys_of(story: Story) -> set[str]:
    """The run keys of the page's nights; Airflow has scheduled others, of days without events."""
    return {f"{NIGHTS}/{story.by_day[day].run_id}" for day in NAMED}


def run(story: Story, command: str) -> str:
    """Run a command line of the page, beside the Airflow that runs."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **story.world.airflow.environment, "PATH": programs}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def what_ifs(story: Story) -> list[Any]:
    """The runs of what-ifs in MLflow."""
    client = MlflowClient(story.world.services.mlflow)
    found = client.get_experiment_by_name(PIPELINE)
    return list(client.search_runs([found.experiment_id], f"tags.`{KIND}` = '{WHAT_IF}'"))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("page_played")
    days = [Day(day, RECORDS, seed=day.day) for day in DATES]
    with (
        running_postgres(home / "logs") as postgres,
        running_world(home, days, {**CHOSEN, **postgres.airflow_settings}) as world,
    ):
        for dag in (NIGHTS, REPORTS, f"backfill_{PIPELINE}"):
            world.unpause(dag)
        yield Story(world, home / "logs")


@pytest.fixture(scope="module")
def filled(story: Story) -> After:
    return follow(story, FILL)


@pytest.fixture(scope="module")
def repeated(story: Story, filled: After) -> After:
    return follow(story, REPEAT)


@pytest.fixture(scope="module")
def judged_anew(story: Story, repeated: After) -> After:
    return follow(story, JUDGE_ANEW)


@pytest.fixture(scope="module")
def accepted(story: Story, judged_anew: After) -> After:
    return follow(story, ACCEPT_GAP)


@pytest.fixture(scope="module")
def tried(story: Story, accepted: After) -> After:
    return follow(story, TRY)


@pytest.fixture(scope="module")
def normal_again(story: Story, tried: After) -> After:
    return follow(story, NORMALLY)


def test_the_plan_that_is_triggered_ends_with_the_command_that_starts_it(story: Story) -> None:
    run(story, PLAN)
    [plan] = story.world.runs(f"backfill_{PIPELINE}")

    command = plan.wait().output("plan_backfill")["command"]
    assert command.startswith("airflow backfill create --dag-id retrain_clicks")
    assert [day in command for day in (NAMED[0], NAMED[-1])] == [True, True]


def test_the_days_are_filled_one_after_the_other_and_the_first_serves(story: Story, filled: After) -> None:
    assert (filled.begun, filled.states) == ({*NAMED}, dict.fromkeys(NAMED, "success"))
    moves = [line for line in filled.releases["ledger"] if line["event"] == "moved"]
    assert moves[0]["from"] is None
    assert moves[0]["watermark"].startswith(NAMED[1])
    assert wrong_moves(moves) == []
    assert filled.releases["served"][0] == moves[-1]["to"]


def test_days_that_are_repeated_backwards_and_at_once_change_nothing(filled: After, repeated: After) -> None:
    assert repeated == filled


def test_days_that_are_judged_anew_move_nothing_back(filled: After, judged_anew: After) -> None:
    moves = [line for line in judged_anew.releases["ledger"] if line["event"] == "moved"]

    assert judged_anew.begun == {*NAMED}
    assert judged_anew.artifacts.items() >= filled.artifacts.items()
    assert wrong_moves(moves) == []
    assert judged_anew.logged == filled.logged


def test_a_gap_that_is_accepted_for_days_that_are_whole_changes_nothing(
    judged_anew: After, accepted: After
) -> None:
    assert (accepted.begun, accepted.states) == ({*NAMED}, judged_anew.states)
    assert (accepted.artifacts, accepted.releases) == (judged_anew.artifacts, judged_anew.releases)


def test_a_what_if_leaves_all_that_is_normal_as_it_was(accepted: After, tried: After) -> None:
    """No artifact, no version, no alias, no move and no run of a normal night is another."""
    assert tried == accepted


def test_a_what_if_trains_each_day_in_a_place_of_its_own(story: Story, tried: After) -> None:
    place = story.world.store.root / PIPELINE / "what_if" / NAME / "model"

    assert sorted(path.parent.name[:10] for path in place.glob(f"*/{MANIFEST}")) == NAMED


def test_the_nights_of_a_what_if_are_tagged_and_registered_nowhere(story: Story, tried: After) -> None:
    runs = what_ifs(story)
    versions = MlflowClient(story.world.services.mlflow).search_model_versions(f"name='{PIPELINE}'")

    assert sorted(run.data.tags["day"] for run in runs) == NAMED
    assert {run.data.tags[WHAT_IF_NAME] for run in runs} == {NAME}
    assert {run.info.run_id for run in runs}.isdisjoint(version.run_id for version in versions)


def test_a_what_if_is_told_of_as_one_and_publishes_nothing(story: Story, tried: After) -> None:
    [report] = [each for each in story.reports if each.get()["conf"]["backfill"]["what_if"] == NAME]
    outcomes = {story.by_day[day].states["push_model"] for day in NAMED}

    assert "3 nights" in report.output("report_backfill")["summary"]
    assert outcomes == {"skipped"}


def test_the_days_are_normal_again_when_their_parameters_are_taken_from_them(
    judged_anew: After, normal_again: After
) -> None:
    assert (normal_again.begun, normal_again.states) == ({*NAMED}, judged_anew.states)
    assert (normal_again.artifacts, normal_again.releases) == (judged_anew.artifacts, judged_anew.releases)
    assert normal_again.logged == judged_anew.logged
