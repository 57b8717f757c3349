"""Runs every command of docs/backfills.md, in the order of the page, as its reader would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest

from tests.demo.airflow_server import settings
from tests.demo.clicks import Day
from tests.demo.ports import free_port
from tests.demo.produce import create_topic, produce
from tests.demo.stack import running_services
from tests.integration.page_commands import COMMANDS, ROOT
from tests.integration.walking import SMALL, World, opened_world

pytestmark = pytest.mark.integration

DAYS = [Day(date(2026, 11, day), 2_000, seed=day) for day in (1, 2, 3)]
# A backfill that is created for good would wait for a scheduler, and Airflow allows one at a time.
# `test_backfills_page_played.py` runs them all to their end.
REHEARSED = "airflow backfill create"


Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Desk:
    """Where the reader sits: three days in a topic, an Airflow that knows the DAGs, and a shell.

    Attributes:
        environment: of the shell.
        done: what came of the page's commands so far.
    """

    environment: Mapping[str, str]
    done: dict[str, Done] = field(default_factory=dict)

    def follow(self, command: str) -> Done:
        """Run a command of the page once; a backfill is rehearsed only."""
        if command not in self.done:
            rehearsal = " --dry-run" if command.startswith(REHEARSED) else ""
            self.done[command] = self.run(command + rehearsal)
        return self.done[command]

    def run(self, command: str) -> Done:
        """Run a command line."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Servers of its own: the page's pipeline is clicks, which other tests use too."""
    home = tmp_path_factory.mktemp("page")
    with running_services(home / "services") as services:
        create_topic(services.bootstrap, "clicks", partitions=2)
        for day in DAYS:
            produce(day, services.bootstrap, "clicks", partitions=2)
        with opened_world("clicks", home / "home", services, SMALL) as world:
            yield world


@pytest.fixture(scope="module")
def desk(world: World, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    home = tmp_path_factory.mktemp("airflow")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    airflow = settings(home, f"http://127.0.0.1:{free_port()}")
    desk = Desk({**airflow, **world.services.airflow_connections(), "PATH": programs})
    prepared = desk.run("airflow db migrate && airflow dags reserialize")
    assert prepared.returncode == 0, prepared.stderr
    return desk


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_works(desk: Desk, command: str) -> None:
    done = desk.follow(command)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_page_has_a_command_for_each_of_its_subjects() -> None:
    for words in (
        "backfill plan",
        "--json",
        "dags trigger",
        REHEARSED,
        "--accept-gap",
        '"accept_gap"',
        "--refresh",
        "--what-if",
    ):
        assert any(words in command for command in COMMANDS), words


def test_a_backfill_runs_the_days_that_were_planned(desk: Desk) -> None:
    [command] = [line for line in COMMANDS if line.endswith("--max-active-runs 1")]

    days = desk.follow(command).stdout.split("Runs to be attempted:")[1]
    assert [str(day.date) in days for day in DAYS] == [True, True, True]


def test_the_plan_follows_a_refreshed_day(desk: Desk) -> None:
    """The commands of the page have landed the second day, and landed it anew."""
    shown = desk.run("python -m ml backfill plan --pipeline clicks --from 2026-11-01 --to 2026-11-03 --json")

    plan = json.loads(shown.stdout)
    assert [day["landed"] is not None for day in plan["days"]] == [True, True, False]
    assert plan["days"][1]["decision"] == {"refresh": "the mobile backlog was delivered"}
    assert plan["totals"]["to_land"] == 1
    assert plan["served"] == {"version": None, "watermark": None}
