"""Nights that Airflow runs from a Git bundle."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ml import steps
from ml.artifact import Window
from ml.connections import KafkaConnection
from ml.store import PARTIAL
from tests.demo.afternoon import AFTERNOON, YESTERDAY, ZONE
from tests.demo.clicks import Corruption, Day
from tests.demo.follow import Backfill
from tests.demo.kafka import Kafka, running_kafka
from tests.demo.proxy import Proxy
from tests.integration.airflow_nights import (
    ASK,
    RECORDS,
    STEPS,
    TELLER,
    TOLD,
    Run,
    World,
    copy_pipeline,
    running_world,
)
from tests.integration.landed import Landing, answer_of, check_against, plain
from tests.integration.origin import Origin
from tests.integration.processes import processes_of
from tests.integration.topic_kinds import MINUTE, Writer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]

LAST = YESTERDAY
FIRST = LAST - timedelta(days=2)
VERSION = int(f"{FIRST:%Y%m%d}001")
DAMAGE = Corruption(negative_quantity=0.01, missing_item=0.01, not_json=0.01)
MANY_TABLETS = (0.30, 0.22, 0.48)
DAYS = [
    Day(FIRST, RECORDS, seed=1, time_zone=ZONE),
    Day(FIRST + timedelta(days=1), RECORDS, seed=2, corruption=DAMAGE, time_zone=ZONE),
    Day(LAST, RECORDS, seed=3, devices=MANY_TABLETS, time_zone=ZONE),
]
QUIET = {"info", "debug"}
OURS = ("ml.", "retraining.")
DAG, REPORTS = "retrain_clicks", "report_backfill_clicks"
ARTIFACT_STEPS = [step for step in STEPS if step != "log_to_mlflow"]
STRUCK, KILLED = "struck", "killed"
UNANSWERED = "did not answer about the topic 'clicks'"
PARTITIONS = 12
BYTES_BEFORE_THE_KILL = 300_000  # of some 700,000: about the half of the partitions, read one after the other
APPROVAL = "{verdicts: [BOOTSTRAP], response_hours: 2}"


@dataclass(frozen=True)
class Asked:
    """How the first night stood when it asked a person.

    Attributes:
        run: the night.
        question: as Airflow shows it.
        states: of its tasks.
        processes: of the task that asks.
        served: the versions that the model server knew.
    """

    run: Run
    question: dict[str, Any]
    states: dict[str, str]
    processes: list[int]
    served: dict[str, str]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    return Origin(tmp_path_factory.mktemp("origin") / "repository")


@pytest.fixture(scope="module")
def world(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An Airflow with pipelines for clicks, without a Connection, and training for ever.

    Two more have another broker: of one it fails, of the other the landing does. A person is asked before the
    first version of the clicks is published.
    """
    home, pipelines = tmp_path_factory.mktemp("nights"), tmp_path_factory.mktemp("pipelines")
    copy_pipeline(pipelines, "lost", landing={"connection": "kafka_nowhere"})
    copy_pipeline(pipelines, "endless", training={"epochs": 1_000_000})
    for name in (STRUCK, KILLED):
        copy_pipeline(pipelines, name, landing={"connection": f"kafka_{name}"})
    settings = {
        **AFTERNOON,
        "RETRAIN_PIPELINES": str(pipelines),
        "RETRAIN_CLICKS__SERVING__APPROVAL": APPROVAL,
        "RETRAIN_STRUCK__LANDING__SEEK": "time",
        "RETRAIN_KILLED__LANDING__SEEK": "time",
    }
    with running_world(home, DAYS, settings, [origin.bundle]) as world:
        world.unpause("retrain_lost")  # it runs while the others are prepared
        yield world


@pytest.fixture(scope="module")
def pinned(world: World, origin: Origin) -> str:
    """The commit that was the newest when the nights were queued."""
    return origin.newest


@pytest.fixture(scope="module")
def asked(world: World, origin: Origin, pinned: str, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """The first of three nights, queued before Airflow knew a newer commit. It waits for a person."""
    backfill = Backfill(DAG, FIRST, LAST, time_zone=ZONE)
    backfill.create(world.airflow, tmp_path_factory.mktemp("backfill") / "backfill.log")
    origin.break_landing()
    let_newest_be_known(world, origin)
    backfill.start(world.airflow)
    run = world.runs(DAG)[0]
    question = run.wait_for_question()
    processes = list(processes_of(run.tasks[ASK]["id"]))
    return Asked(run, question, run.states, processes, world.served_versions("clicks"))


@pytest.fixture(scope="module")
def nights(world: World, origin: Origin, asked: Asked) -> list[Run]:
    """A normal, approved, a damaged and an unusual day, one after the other."""
    asked.run.answer("Approve")
    nights = [run.wait() for run in world.runs(DAG)]
    origin.mend_landing()
    let_newest_be_known(world, origin)
    return nights


@pytest.fixture
def normal(nights: list[Run]) -> Run:
    return nights[0]


@pytest.fixture
def damaged(nights: list[Run]) -> Run:
    return nights[1]


@pytest.fixture
def unusual(nights: list[Run]) -> Run:
    return nights[2]


def let_newest_be_known(world: World, origin: Origin) -> None:
    """Wait until the next run would be pinned to the newest commit."""
    world.read_again(DAG)

    def version() -> str:
        return str(world.api.get(f"/dags/{DAG}").raise_for_status().json()["bundle_version"])

    world.wait_until(lambda: version() == origin.newest, f"aware of commit {origin.newest}")


@pytest.fixture(scope="module")
def broker(kafka_can_run: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """An Apache Kafka with last night's events. They are damaged: landing them is all that is to be seen."""
    start = Window.of_day(LAST, ZONE).start_ms
    with running_kafka(tmp_path_factory.mktemp("kafka") / "cluster") as kafka:
        kafka.topics.create("clicks", PARTITIONS)
        writer = Writer(kafka, "clicks")
        for minute in range(24 * 60):
            writer.event(start + minute * MINUTE, partition=minute % PARTITIONS, quantity=-1)
        writer.flush()
        yield kafka


@pytest.fixture(scope="module")
def struck(world: World, broker: Kafka) -> Run:
    """A night whose broker was killed, and is back when Airflow tries the landing again."""
    broker.nodes[1].crash()
    world.connect_kafka("kafka_struck", broker.bootstrap)
    run = world.only_run("retrain_struck")
    world.wait_until(lambda: is_tried_again(run), "failing to land")
    broker.start(1)
    return run


@pytest.fixture(scope="module")
def killed(world: World, broker: Kafka, struck: Run) -> Iterator[Run]:
    """A night whose landing was killed in the middle of the day, where its network had fallen silent."""
    ports = broker.nodes[1].ports
    with Proxy(ports.proxy, ports.proxied) as way:
        way.fall_silent_after(BYTES_BEFORE_THE_KILL)
        world.connect_kafka("kafka_killed", broker.proxied)
        run = world.only_run("retrain_killed")
        world.wait_until(lambda: way.is_silent, "in the middle of the day")
        begun = [path.parent.name for path in (world.store.root / KILLED).glob(f"*/*{PARTIAL}")]
        assert begun == ["examples"]
        [task] = processes_of(f"airflow worker -- {run.tasks['land_examples']['id']}")
        os.kill(task, signal.SIGKILL)
        way.mend()
        world.wait_until(lambda: is_tried_again(run), "failing to land")
        yield run


def is_tried_again(run: Run) -> bool:
    """Whether the first try to land has failed; the next may have begun since somebody looked."""
    task = run.tasks.get("land_examples")
    return task is not None and (task["state"] == "up_for_retry" or task["try_number"] > 1)


def state_of_the_world(world: World, run: Run) -> dict[str, Any]:
    """All that a repetition of a night must not change."""
    asking = ("describe_night", ASK)  # nobody is asked again about what is pushed
    outputs = {step: output for step, output in run.outputs.items() if step not in asking}
    return {
        "outputs": outputs,
        "ledger": world.ledger("clicks"),
        "MLflow runs": sorted(logged.info.run_id for logged in world.mlflow_runs("clicks")),
        "registered versions": world.registered_versions("clicks"),
        "served": world.served_versions("clicks"),
    }


def test_a_night_waits_for_a_person_and_holds_no_worker(asked: Asked) -> None:
    assert (asked.states[ASK], asked.states["push_model"]) == ("awaiting_input", None)
    assert asked.processes == []
    assert asked.served == {}


def test_the_person_is_asked_with_the_evidence(asked: Asked, normal: Run) -> None:
    question, logged = asked.question, normal.output("log_to_mlflow")

    assert question["subject"] == f"{FIRST}, BOOTSTRAP: publish the candidate of clicks?"
    assert (question["options"], question["defaults"]) == (["Approve", "Reject"], ["Reject"])
    assert question["body"].startswith(f"## {FIRST}: BOOTSTRAP, may be published")
    assert question["body"].endswith(f"[The night in MLflow]({logged['url']})")


def test_a_landing_whose_broker_was_killed_is_tried_again_and_says_why(struck: Run) -> None:
    assert UNANSWERED in struck.log_text("land_examples")


def test_a_landing_that_was_killed_is_tried_again_and_says_how_it_ended(killed: Run) -> None:
    ends = [event["signal_name"] for event in killed.log("land_examples") if "signal_name" in event]

    assert ends == ["SIGKILL"]


def test_the_ledger_says_who_has_approved_it(world: World, normal: Run) -> None:
    approval = normal.output(ASK)
    [moved] = [line for line in world.ledger("clicks") if line["event"] == "moved"]

    assert moved["reason"].startswith(f"approved by admin at {approval['at']}; ")


def test_the_nights_are_those_that_were_asked_for(nights: list[Run]) -> None:
    assert [run.night for run in nights] == [day.date.isoformat() for day in DAYS]


def test_the_nights_are_run_by_the_code_that_they_were_pinned_to(nights: list[Run], pinned: str) -> None:
    assert {run.get()["bundle_version"] for run in nights} == {pinned}


def test_every_manifest_names_the_commit(world: World, normal: Run, pinned: str) -> None:
    outputs = normal.outputs
    made = [outputs[step] for step in ARTIFACT_STEPS]

    assert {world.store.manifest(artifact).code["commit"] for artifact in made} == {pinned}


def test_mlflow_names_the_commit(world: World, nights: list[Run], pinned: str) -> None:
    code = [(run.data.tags["git.commit"], run.data.tags["git.dirty"]) for run in world.mlflow_runs("clicks")]

    assert code == [(pinned, "false")] * len(nights)


def test_the_settings_are_those_of_the_commit(world: World, normal: Run) -> None:
    manifest = world.store.manifest(normal.output("train_candidate"))

    assert manifest.identity.config["training"]["seed"] == 20260101


def test_the_first_night_is_published(world: World, normal: Run) -> None:
    assert set(normal.states.values()) == {"success"}
    assert normal.get()["note"].startswith("Verdict: BOOTSTRAP")
    assert world.store.read_json(normal.output("push_model"))["version"] == VERSION


def test_the_nights_after_it_leave_serving_as_it_was(world: World, nights: list[Run]) -> None:
    assert world.served_versions("clicks") == {str(VERSION): "AVAILABLE"}


def test_the_logging_task_links_to_the_run_in_mlflow(world: World, normal: Run) -> None:
    run_ids = [logged.info.run_id for logged in world.mlflow_runs("clicks")]
    link = normal.get("/taskInstances/log_to_mlflow/links")["extra_links"]["MLflow run"]

    assert link == normal.output("log_to_mlflow")["url"]
    assert urlsplit(urlsplit(link).fragment).path.rsplit("/", 1)[-1] in run_ids


def test_a_damaged_day_stops_before_training(damaged: Run) -> None:
    assert damaged.get()["state"] == "failed"
    assert damaged.states == {
        "wait_for_settle": "success",
        "resolve_production": "success",
        "land_examples": "success",
        "compute_statistics": "success",
        "validate_examples": "failed",
        "measure_drift": "success",
        "gather_window": "upstream_failed",
        "train_candidate": "upstream_failed",
        "evaluate_candidate": "upstream_failed",
        "decide_blessing": "success",
        "log_to_mlflow": "success",
        "describe_night": "success",
        "ask_for_approval": "success",
        "push_model": "upstream_failed",
    }
    assert damaged.get()["note"].startswith("Verdict: PAUSED: anomalies")


def test_a_damaged_day_is_not_tried_twice_and_leaves_its_evidence(world: World, damaged: Run) -> None:
    assert damaged.tasks["validate_examples"]["try_number"] == 1

    anomalies = world.store.read_json(damaged.output("validate_examples"))
    assert {finding["feature"] for finding in anomalies["findings"]} == {"item_id", "quantity"}


def test_a_drifted_night_is_judged_and_not_published(unusual: Run) -> None:
    states = unusual.states

    assert states.pop("push_model") == "skipped"
    assert set(states.values()) == {"success"}
    assert unusual.get()["note"].startswith("Verdict: PAUSED: device")
    assert "not published, PAUSED" in unusual.log_text("push_model")


def test_a_backfill_is_planned_by_hand_and_the_plan_is_the_runs_note(world: World, nights: list[Run]) -> None:
    days = {"first": FIRST.isoformat(), "last": LAST.isoformat()}
    run = world.trigger("backfill_clicks", **days, reprocess_behavior="failed").wait()

    assert run.states == {"plan_backfill": "success"}
    plan = run.output("plan_backfill")
    assert [step for day in plan["days"] for step in day["steps"] if step["outcome"] == "new"] == []
    assert (plan["totals"]["kept"], plan["totals"]["rejected"]) == (2, 1)
    # The damaged night between them has failed.
    assert plan["left_alone"] == [FIRST.isoformat(), LAST.isoformat()]
    assert run.get()["note"] == f"Plan: {plan['summary']}"
    assert plan["command"] in " ".join(run.log_text("plan_backfill").replace("\\\n", " ").split())


@pytest.mark.parametrize("step", STEPS)
def test_a_tasks_log_holds_nothing_but_what_concerns_the_night(nights: list[Run], step: str) -> None:
    ran = [run for run in nights if run.tasks[step]["try_number"]]
    events = [event for run in ran for event in run.log(step) if "level" in event]
    ours = [event for event in events if event["logger"].startswith(OURS)]
    loud = [event["event"] for event in events if event["level"] not in QUIET and event not in ours]

    assert ours
    assert set(loud) <= {"Task failed with exception"}


@pytest.fixture(scope="module")
def told(world: World, nights: list[Run]) -> Run:
    """The report of the backfill that made the nights."""
    return world.only_run(REPORTS).wait()


def test_the_backfill_is_told_of(told: Run) -> None:
    assert told.run_id == "backfill_1"
    assert told.output("report_backfill")["summary"] in told.log_text("tell")


def test_a_repeated_night_changes_nothing_asks_nobody_and_is_not_told_of_again(
    world: World, normal: Run, told: Run
) -> None:
    before = state_of_the_world(world, normal)

    normal.post("/clear", dry_run=False)
    normal.wait()

    assert normal.output("describe_night")["decision"] == "PUSHED"
    assert {task["try_number"] for task in normal.tasks.values()} == {2}
    assert set(normal.states.values()) == {"success"}
    assert state_of_the_world(world, normal) == before
    assert [report.run_id for report in world.runs(REPORTS)] == [told.run_id]


def test_a_missing_connection_stops_the_night_at_once_and_says_what_to_add(world: World) -> None:
    run = world.only_run("retrain_lost").wait()

    assert run.get()["state"] == "failed"
    assert run.states["land_examples"] == "failed"
    assert run.tasks["land_examples"]["try_number"] == 1
    told = run.output("land_examples", TOLD)
    assert told.startswith(f"retrain_lost, night of {LAST}: stopped at land_examples: ")
    assert "Add it under Admin > Connections or as AIRFLOW_CONN_KAFKA_NOWHERE" in told
    assert told in run.log_text("land_examples")
    assert [teller.run_id for teller in world.runs(TELLER) if "retrain_lost" in teller.run_id] == []


def test_a_training_that_is_marked_as_failed_ends_its_workers(world: World) -> None:
    run = world.only_run("retrain_endless")
    words = f"ml.training.child train {world.store.root}/endless/"
    world.wait_until(lambda: list(processes_of(words)), "training")
    assert list(processes_of(run.tasks["train_candidate"]["id"]))

    run.patch("/taskInstances/train_candidate", new_state="failed")

    world.wait_until(lambda: not list(processes_of(words)), "without workers")
    world.wait_until(lambda: "stopped on request" in run.log_text("train_candidate"), "told")
    assert run.states["train_candidate"] == "failed"


@pytest.fixture(params=[STRUCK, KILLED])
def retried(request: pytest.FixtureRequest, world: World, struck: Run, killed: Run) -> Run:
    """A night whose landing Airflow has tried again."""
    run = {STRUCK: struck, KILLED: killed}[request.param]
    world.wait_until(lambda: run.states["land_examples"] == "success", "landed after all")
    return run


def test_airflows_own_retry_lands_the_day_that_nothing_would_have_disturbed(
    world: World, broker: Kafka, retried: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, name = Window.of_day(LAST, ZONE), retried.dag_id.removeprefix("retrain_")
    landing = Landing(retried.output("land_examples"), world.store)
    tries = retried.tasks["land_examples"]["try_number"]

    assert tries > 1
    assert [attempt for attempt in range(1, tries) if not was_disturbed(retried, attempt)] == []
    assert not list((world.store.root / name).rglob(f"*{PARTIAL}"))
    check_against(answer_of(broker, "clicks", window), landing)
    for variable, value in world.airflow.environment.items():
        if variable.startswith("RETRAIN_"):
            monkeypatch.setenv(variable, value)
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path))
    kafka = KafkaConnection(config=plain(broker))
    assert steps.land_examples(name, **window.as_json(), kafka=kafka) == landing.artifact


def was_disturbed(run: Run, attempt: int) -> bool:
    """Whether a try to land was killed, or had no broker: one that was just started may answer too late."""
    signals = {event.get("signal_name") for event in run.log("land_examples", attempt)}
    return "SIGKILL" in signals or UNANSWERED in run.log_text("land_examples", attempt)


def test_the_retry_of_a_killed_landing_says_that_it_begins_again(world: World, killed: Run) -> None:
    world.wait_until(lambda: killed.states["land_examples"] == "success", "landed after all")

    assert "an earlier try stopped before it was done" in killed.log_text("land_examples", attempt=2)
