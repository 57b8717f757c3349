"""``make demo``: five nights from topic to served model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ml.store import Store
from tests.demo import report
from tests.demo.follow import Backfill, follow
from tests.demo.produce import fill_topic
from tests.demo.setup import Say, Setup
from tests.demo.stack import Services, running_stack
from tests.demo.story import PARTITIONS, PIPELINE, TOPIC, Night, five_nights

DAYS = 5


def check() -> None:
    """It needs no programs beside Python's packages."""


def run(setup: Setup, say: Say) -> int:
    """Run the nights. The exit code says whether the story held."""
    nights = five_nights(setup.first)
    say(f"Starting broker ({setup.broker}), MLflow, model server (a stand-in for TF Serving) and Airflow")
    with running_stack(setup.home, setup.ports, setup.broker) as (services, airflow):
        say(f"Producing {len(nights)} days of click logs")
        fill_topic((night.day for night in nights), services.bootstrap, TOPIC, PARTITIONS)
        say("Five nights, run by Airflow's scheduler through `airflow backfill`")
        backfill = Backfill(f"retrain_{PIPELINE}", nights[0].day.date, nights[-1].day.date)
        backfill.create(airflow, setup.home / "logs" / "backfill.log")
        backfill.start(airflow)
        follow(backfill, airflow, Store(setup.home / "store"))
        say("All nights are done")
        return conclude(nights, services)


def conclude(nights: list[Night], services: Services) -> int:
    """Print what came of it. The exit code says whether the story held."""
    runs = report.read_runs(services.mlflow)
    wrong = report.unexpected(nights, runs)
    if not wrong:
        report.print_table(nights, runs)
        report.print_prediction(nights[-1], services)
    print(*wrong, sep="\n")
    print("The five runs side by side, when `make up` serves the pages:")
    print(f"  {report.comparison_url(services.mlflow, runs)}")
    return 1 if wrong else 0


@contextmanager
def serving_pages(setup: Setup) -> Iterator[None]:
    """Serve the pages over the state that the nights left, while the block runs."""
    with running_stack(setup.home, setup.ports, setup.broker) as (services, airflow):
        print("Filling the broker again: it always starts empty.")
        days = (night.day for night in five_nights(setup.first))
        fill_topic(days, services.bootstrap, TOPIC, PARTITIONS)
        report.print_pages(services, airflow)
        yield
