"""``make demo SCENARIO=canary``: a version that passes the gate and fails live users, then a healthy one."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ml.pipelines import load_pipeline
from ml.release.ledger import Ledger
from ml.store import Store
from tests.demo import report
from tests.demo.airflow_server import Airflow, running_airflow
from tests.demo.canary.outcome import (
    ALERT,
    find_wrong,
    judge_story,
    print_answers,
    print_messages,
)
from tests.demo.canary.panels import draw_dashboard
from tests.demo.canary.rollouts import follow_rollout
from tests.demo.canary.story import (
    NIGHTS,
    PATIENCE_SECONDS,
    RATE,
    SETTINGS,
    fault_of,
    three_nights,
)
from tests.demo.canary.timeline import print_timeline, seconds_of, tell
from tests.demo.canary.tracks import Tracks, running_tracks, what_is_missing
from tests.demo.canary.traffic import asking_users, count_answers
from tests.demo.follow import Backfill, follow
from tests.demo.produce import fill_topic
from tests.demo.setup import Say, Setup
from tests.demo.stack import Services, night_settings, running_services
from tests.demo.story import PARTITIONS, PIPELINE, TOPIC, Night

NAME = "canary"
DAYS = NIGHTS
ALERT_SECONDS = 240


@dataclass(frozen=True)
class World:
    """All that runs.

    Attributes:
        home: RETRAIN_HOME.
        services: of the nights.
        tracks: of the canary.
        airflow: that runs nights and rollouts.
    """

    home: Path
    services: Services
    tracks: Tracks
    airflow: Airflow

    @property
    def store(self) -> Store:
        """What the nights have made."""
        return Store(self.home / "store")


def check() -> None:
    """Stop if a program is missing.

    Raises:
        SystemExit: saying what to install.
    """
    if missing := what_is_missing():
        sys.exit(f"{missing} The scenario {NAME} needs them; `make demo` without SCENARIO does not.")


def run(setup: Setup, say: Say) -> int:
    """Tell the story. The exit code says whether it came out."""
    nights = three_nights(setup.first)
    say(
        f"Starting broker ({setup.broker}), MLflow, two stand-ins for TF Serving, router, Prometheus, Airflow"
    )
    with running_world(setup, nights) as world:
        say("Producing three days of click logs")
        fill_topic((night.day for night in nights), world.services.bootstrap, TOPIC, PARTITIONS)
        backfill = Backfill(f"retrain_{PIPELINE}", nights[0].day.date, nights[-1].day.date)
        backfill.create(world.airflow, setup.home / "logs" / "backfill.log")
        say("The first night: there is no production yet, so it goes to stable")
        run_night(world, backfill, nights, 1)
        say(f"Users begin to ask the router, {RATE:g} times a second, and never stop")
        features = load_pipeline(PIPELINE).features.names
        users = asking_users(setup.home / "users", world.tracks.router, nights[-1].day, features, RATE)
        with users as answers:
            say("The second night: its version passes the gate, and fails the users who try it")
            run_night(world, backfill, nights, 2)
            say("The third night: a healthy version")
            run_night(world, backfill, nights, 3)
            say(f"Both trials are over; the alert {ALERT} takes two minutes and a half to reach Slack")
            world.tracks.slack.await_message(ALERT, ALERT_SECONDS)
        say("The story is over")
        return conclude(world, nights, answers)


def run_night(world: World, backfill: Backfill, nights: list[Night], number: int) -> None:
    """Let a night run, and hold the next one back until the rollout that it started has come to its end."""
    day = nights[number - 1].day.date
    backfill.start(world.airflow)
    follow(Backfill(backfill.dag_id, day, day), world.airflow, world.store)
    backfill.hold(world.airflow)
    follow_rollout(world.airflow, f"rollout_{PIPELINE}", number)


def conclude(world: World, nights: list[Night], answers: Path) -> int:
    """Print what came of it. The exit code says whether the story came out."""
    runs, slack = report.read_runs(world.services.mlflow), world.tracks.slack
    lines = Ledger(load_pipeline(PIPELINE), world.store).entries()
    answered = count_answers(answers, world.tracks.router.access_log)
    if not (wrong := report.unexpected(nights, runs)):
        report.print_table(nights, runs)
    now, picture = time.time(), world.home / "dashboard.png"
    print_timeline(tell(lines, world.tracks.prometheus, now))
    draw_dashboard(world.tracks.prometheus, (seconds_of(lines[0]), now), picture)
    print(f"\nThe panels of Grafana's dashboard over the same time: {picture}")
    print_answers(answered)
    print_messages(slack)
    return judge_story([*wrong, *find_wrong(lines, answered, slack, nights)])


@contextmanager
def serving_pages(setup: Setup) -> Iterator[None]:
    """Serve the pages over the state that the story left, while the block runs."""
    nights = three_nights(setup.first)
    with running_world(setup, nights) as world:
        print("Filling the broker again: it always starts empty.")
        fill_topic((night.day for night in nights), world.services.bootstrap, TOPIC, PARTITIONS)
        report.print_pages(world.services, world.airflow)
        router = world.tracks.router
        print(f"Router    {router.rest}/v1/models/{PIPELINE}:predict   (gRPC {router.grpc})")
        print(f"Graphs    {world.tracks.prometheus.address}/graph")
        yield


@contextmanager
def running_world(setup: Setup, nights: list[Night]) -> Iterator[World]:
    """Run everything, with the fault of the second night's version, while the block runs."""
    home, fault = setup.home, fault_of(nights[1])
    with (
        running_services(home, setup.ports.mlflow, setup.broker, fault) as services,
        running_tracks(home, services, SETTINGS, fault, PATIENCE_SECONDS) as tracks,
    ):
        settings = {
            **night_settings(home, services, setup.broker),
            **tracks.airflow_connections(),
            **SETTINGS,
        }
        with running_airflow(home / "airflow", settings, setup.ports.airflow) as airflow:
            yield World(home, services, tracks, airflow)
