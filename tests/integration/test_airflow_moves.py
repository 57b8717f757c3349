"""What moves production beside the nights, run by a scheduler: DAGs that try, watch, rehearse and go back."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ml.artifact import Window
from ml.manifest import SCHEME
from ml.release.golden_version import set_golden
from ml.release.observer import Observer
from ml.release.rehearsal import read_rehearsal
from ml.release.router import read_share
from ml.release.standing import Sources
from ml.release.wish import Wish
from tests.demo.afternoon import YESTERDAY, ZONE
from tests.demo.clicks import Day, render
from tests.demo.produce import fill_topic
from tests.demo.prometheus import INSTALL as INSTALL_MONITORING
from tests.demo.prometheus import is_monitoring_installed
from tests.demo.router import INSTALL, is_router_installed
from tests.demo.stack import Services
from tests.integration.airflow_moves import (
    ALERT,
    FAULTY,
    GOOD,
    HEALTHY,
    JOINED_BY,
    KILLED,
    NO_ANSWER,
    ONE,
    REALISED,
    RETURNING,
    SILENT,
    TRYING,
    TWO,
    WATCHED,
    Stage,
    push_by_dag,
    running_moves,
    running_stage,
)
from tests.integration.airflow_nights import ASK, RECORDS, TELLER, Run, World
from tests.integration.canaries import CanaryPlace
from tests.integration.moving import Step, asking
from tests.integration.processes import processes_of
from tests.integration.publishing import Place
from tests.integration.trials import Trials
from tests.ml.release.published import write_at

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not is_router_installed(), reason=INSTALL),
    pytest.mark.skipif(not is_monitoring_installed(), reason=INSTALL_MONITORING),
]

DAY = Day(YESTERDAY, RECORDS, seed=1, time_zone=ZONE)
MIDNIGHT = Window.of_day(YESTERDAY, ZONE).start
PUBLISHED = {ONE: "good", TWO: "better"}
MANY, FEW = 120, 20
ALERT_SECONDS = 120
# What each track says of every row, where about one in ten is clicked.
SCORES = {"stable": 0.1, "canary": 0.9}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("moves")


@pytest.fixture(scope="module")
def stage(services: Services, saved_models: Path, home: Path) -> Iterator[Stage]:
    with running_stage(home, services, saved_models) as stage:
        yield stage


@pytest.fixture(scope="module")
def place(stage: Stage, home: Path) -> Place:
    """A pipeline with two published versions, of which a person has named the older one golden."""
    place = stage.place(home, RETURNING)
    for day, saved_model in ((2, PUBLISHED[ONE]), (3, PUBLISHED[TWO])):
        place.night(day, saved_model)
    golden = Wish(to=str(ONE), reason="two calm weeks", who="ada")
    set_golden(golden, place.records, place.serving, place.mlflow)
    return place


@pytest.fixture(scope="module")
def watched(stage: Stage, home: Path) -> Place:
    """A pipeline whose newest version fails the users, and goes back when they see errors."""
    place = stage.place(home, WATCHED)
    for day in (4, 5):
        place.night(day)
    return place


@pytest.fixture(scope="module")
def realised(stage: Stage, home: Path) -> CanaryPlace:
    """A pipeline with a canary since yesterday, whose users' answers and clicks are on record."""
    place = stage.canary_place(home, REALISED)
    with pytest.MonkeyPatch.context() as patch:
        for day, hour in ((2, 1), (3, 2)):
            write_at((MIDNIGHT + timedelta(hours=hour)).isoformat(), patch)
            place.night(day)
    record_answers(stage.router.predictions)
    fill_topic([DAY], stage.services.bootstrap, REALISED, partitions=3)
    return place


@pytest.fixture(scope="module")
def trials(stage: Stage, home: Path) -> Trials:
    """A pipeline with a canary, of which one version is served to all users."""
    place = stage.canary_place(home, TRYING)
    place.night(4)
    return stage.users_of(place)


@pytest.fixture(scope="module")
def world(
    stage: Stage, home: Path, place: Place, watched: Place, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """An Airflow that finds these versions published."""
    with running_moves(home, tmp_path_factory.mktemp("pipelines"), stage) as world:
        yield world


@pytest.fixture(scope="module")
def silent(world: World, stage: Stage, home: Path) -> CanaryPlace:
    """A pipeline with a version on trial that nobody asks for anything. Its rollout is under way."""
    place = stage.canary_place(home, SILENT)
    for day in (2, 3):
        place.night(day)
    world.start(f"rollout_{SILENT}")
    return place


@pytest.fixture(scope="module")
def rollout(world: World, trials: Trials) -> Run:
    """The rollout of a version that fails its users, before anybody has asked it."""
    place, dag_id = trials.place, f"rollout_{TRYING}"
    night = push_by_dag(world, place, 5, "better", MIDNIGHT.isoformat())
    assert night.states["push_model"] == "success"
    assert (place.served(), place.on_canary()) == (GOOD, FAULTY)
    world.wait_until(lambda: world.runs(dag_id), f"running {dag_id}")
    [run] = world.runs(dag_id)
    return run


@pytest.fixture(scope="module")
def no_answer() -> Iterator[str]:
    """The address of a broker that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield "{}:{}".format(*server.getsockname())


@pytest.fixture(scope="module")
def killed(world: World, no_answer: str) -> Run:
    """A night whose landing waits for its broker, and is killed as the kernel does when memory runs out.

    Its supervisor lives on: another process, of another title.
    """
    world.connect_kafka(NO_ANSWER, no_answer)
    run = world.only_run(f"retrain_{KILLED}")

    def landing() -> list[int]:
        task = run.tasks.get("land_examples")
        return list(processes_of(f"airflow worker -- {task['id']}")) if task else []

    world.wait_until(landing, "landing")
    for process in landing():
        os.kill(process, signal.SIGKILL)
    return run


@pytest.fixture(scope="module", autouse=True)
def _under_way(world: World, rollout: Run, silent: CanaryPlace, realised: CanaryPlace, killed: Run) -> None:
    """What runs while other tests go on."""
    world.unpause(f"realised_{REALISED}")


def record_answers(directory: Path) -> None:
    """What the router writes when it is asked for every row of the day before it is clicked or not."""
    hours = defaultdict(list)
    for block in DAY.blocks():
        for number, line in enumerate(render(DAY, block)):
            hours[hour_of(row := json.loads(line))].append(answer_to(row, ("stable", "canary")[number % 2]))
    for hour, answers in hours.items():
        text = "".join(f"{json.dumps(answer)}\n" for answer in answers)
        (directory / f"{REALISED}-{hour}.jsonl").write_text(text)


def hour_of(row: dict[str, Any]) -> str:
    return f"{datetime.fromtimestamp(row['event_time'] / 1000, timezone.utc):%Y-%m-%dT%H}"


def answer_to(row: dict[str, Any], track: str) -> dict[str, Any]:
    given = {"time": row["event_time"], "trace": row["event_id"], "user": row["user_id"]}
    key = [row[name] for name in JOINED_BY]
    return {**given, "track": track, "answered_by": track, "score": SCORES[track], "key": key}


def measured(place: Place) -> dict[tuple[str, ...], float]:
    """The metrics of a pipeline: name and labels → value."""
    sources = Sources(place.store, place.serving, place.mlflow)
    samples = Observer([place.pipeline], sources).observe(datetime.now(timezone.utc))
    return {(sample.name, *sample.labels): sample.value for _, sample in samples}


def test_a_push_starts_the_rollout_which_holds_no_worker_while_it_waits(world: World, rollout: Run) -> None:
    def waits() -> bool:
        task = rollout.tasks["watch_canary"]
        return task["state"] == "deferred" and not list(processes_of(task["id"]))

    world.wait_until(waits, "waiting without a worker")
    assert rollout.get()["run_type"] == "asset_triggered"


def test_a_canary_that_fails_is_withdrawn_by_its_rollout_and_users_see_no_error(
    trials: Trials, rollout: Run
) -> None:
    place = trials.place

    assert set(trials.ask(MANY)) == {200}
    rollout.wait()

    assert rollout.states["withdraw_canary"] == "success"
    assert rollout.states["promote_canary"] == rollout.states["tell_that_it_is_held"] == "skipped"
    assert (place.served(), place.on_canary()) == (GOOD, None)
    assert read_share(place.pipeline, place.serving) == 0.0
    line = place.ledger.entries()[-1]
    assert (line["event"], line["action"], line["to"]) == ("noted", "withdraw", FAULTY)
    assert rollout.run_id in line["who"]
    told = rollout.log_text("tell_that_it_is_withdrawn")
    assert f"canary {FAULTY} of {TRYING} is withdrawn: " in told
    assert "of the canary's requests fail" in told


def test_a_promotion_waits_for_a_person_who_may_say_no_and_the_ledger_says_who_said_yes(
    world: World, trials: Trials
) -> None:
    place = trials.place
    place.night(6)
    assert trials.judge(HEALTHY).judgement.decision == "PROMOTE"

    run = world.start(f"rollout_{TRYING}")
    question = run.wait_for_question()

    assert question["subject"] == f"Let version {HEALTHY} of {TRYING} answer all users?"
    assert question["body"].startswith(f"## PROMOTE: version {HEALTHY} beside {GOOD}")
    assert (place.served(), place.on_canary()) == (GOOD, HEALTHY)

    run.answer("Reject")
    run.wait()

    assert (run.states[ASK], run.states["promote_canary"]) == ("skipped", "skipped")
    assert "answer all users? rejected by admin: it stays on trial" in run.log_text(ASK)
    assert (place.served(), place.on_canary()) == (GOOD, HEALTHY)

    run.clear(ASK)
    run.wait_for_question()
    run.answer("Approve")
    run.wait()

    assert run.states["promote_canary"] == "success"
    assert (place.served(), place.on_canary()) == (HEALTHY, None)
    assert place.ledger.entries()[-1]["reason"].startswith("approved by admin at ")


def test_a_trial_that_nobody_asks_is_held_and_a_person_is_told(world: World, silent: CanaryPlace) -> None:
    run = world.only_run(f"rollout_{SILENT}").wait()

    assert run.states["tell_that_it_is_held"] == "success"
    assert run.states["promote_canary"] == run.states["withdraw_canary"] == "skipped"
    judgement = run.output("watch_canary")
    assert judgement["decision"] == silent.store.read_json(judgement["evidence"])["decision"] == "HOLD"
    assert run.get()["note"] == f"Trial: {judgement['summary']}"
    told = run.log_text("tell_that_it_is_held")
    assert f"canary {TWO} of {SILENT}, HOLD: no decision after " in told
    assert "minutes; nobody has asked the canary: nothing is known of it. Is the router up" in told
    assert (silent.served(), silent.on_canary()) == (ONE, TWO)
    assert read_share(silent.pipeline, silent.serving) == 0.5


def test_the_watch_takes_back_what_users_see_errors_of_and_a_person_is_told(
    world: World, stage: Stage, watched: Place
) -> None:
    users = stage.users_of(watched)
    firing = f'ALERTS{{alertname="{ALERT}",alertstate="firing",model="{WATCHED}"}}'

    def alert_fires_after_a_few_more() -> bool:
        users.ask(FEW)
        return bool(stage.prometheus.query(firing))

    stage.prometheus.process.wait_until(alert_fires_after_a_few_more, ALERT_SECONDS, "alarmed")
    world.start(f"watch_{WATCHED}").wait()

    moves = [line for line in watched.ledger.entries() if line["action"] == "rollback"]
    assert [(line["event"], line["from"], line["to"]) for line in moves] == [
        ("moving", FAULTY, GOOD),
        ("moved", FAULTY, GOOD),
    ]
    assert moves[-1]["who"].startswith(f"watch/{ALERT}/")
    assert (watched.store.root / moves[-1]["evidence"].removeprefix(SCHEME) / "watch.json").exists()
    assert (watched.served(), set(users.ask(FEW))) == (GOOD, {200})
    said = [run.log_text("tell") for run in world.runs(f"watch_{WATCHED}") if run.states["tell"] == "success"]
    assert sum(f"{WATCHED} was rolled back by itself from {FAULTY} to {GOOD}" in text for text in said) == 1


def test_the_way_back_to_the_golden_version_is_rehearsed_on_another_server(
    world: World, stage: Stage, place: Place
) -> None:
    run = world.only_run(f"rehearse_{RETURNING}").wait()

    assert run.states == {"find_golden": "success", "rehearse_golden": "success"}
    record = read_rehearsal(place.records)
    assert record == run.output("rehearse_golden")
    assert (record["version"], record["passed"], record["problem"]) == (ONE, True, "")
    age = datetime.now(timezone.utc).timestamp() - measured(place)["retraining_rehearsal_timestamp_seconds",]
    assert 0 <= age < 1800
    assert measured(place)["retraining_rehearsal_passed",] == 1


def test_the_form_of_a_roll_back_offers_what_can_be_gone_back_to(world: World) -> None:
    dag_id = f"rollback_{RETURNING}"
    world.airflow.wait_for_dag(dag_id)
    params = world.api.get(f"/dags/{dag_id}/details").raise_for_status().json()["params"]
    to = params["to"]

    assert (to["value"], to["schema"]["enum"]) == ("previous", ["previous", "golden", str(TWO), str(ONE)])
    assert f"{TWO}, data of 2026-11-03, SERVES since " in to["schema"]["values_display"][str(TWO)]
    assert (params["reason"]["value"], params["reason"]["schema"]["minLength"]) == (None, 3)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"to": "previous"}, "reason: No value passed"),
        ({"to": "previous", "reason": ""}, "reason: '' is too short"),
        ({"to": "20261101001", "reason": "clicks fell"}, "to: '20261101001' is not one of ['previous', "),
    ],
)
def test_a_roll_back_without_a_reason_or_to_nowhere_is_refused_by_the_form(
    world: World, place: Place, wish: dict[str, str], said: str
) -> None:
    answer = world.ask_for_run(f"rollback_{RETURNING}", **wish)

    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"Invalid input for param {said}")
    assert place.served() == TWO


def test_the_dag_goes_back_under_load_and_the_ledger_names_its_run(
    world: World, place: Place, tmp_path: Path
) -> None:
    def go_back() -> Run:
        return world.start(f"rollback_{RETURNING}", to="previous", reason="clicks fell").wait()

    with asking(tmp_path, place, PUBLISHED, place.serving.rest, place.serving.grpc, rate=200) as users:
        seen = users.watch(Step(TWO, ONE), go_back)

    run = world.runs(f"rollback_{RETURNING}")[-1]
    assert run.states == {"roll_back": "success"}
    assert place.served() == ONE
    moved = place.ledger.entries()[-1]
    assert (moved["event"], moved["from"], moved["to"], moved["reason"]) == ("moved", TWO, ONE, "clicks fell")
    assert run.run_id in moved["who"]
    assert (seen.failed, seen.wrong) == ([], [])
    print(
        f"{seen.asked} requests, {seen.rate:.0f} a second; the last answer of the old version came "
        f"{seen.last_old_seconds:.1f} s after the trigger"
    )


def test_a_canary_is_doubted_when_its_users_clicks_have_landed(world: World, realised: CanaryPlace) -> None:
    run = world.only_run(f"realised_{REALISED}").wait()

    assert run.night == YESTERDAY.isoformat()
    assert run.states["tell_that_it_is_doubted"] == "success"
    assert run.states["nobody_is_told"] == "skipped"
    line = realised.ledger.entries()[-1]
    assert (line["action"], line["to"], line["verdict"]) == ("reassess", TWO, "DOUBTED")
    assert run.run_id in line["who"]
    assert measured(realised)["retraining_realised_verdict_info", str(TWO), "DOUBTED", "canary"] == 1
    told = run.log_text("tell_that_it_is_doubted")
    assert f"python -m ml rollout withdraw --pipeline {REALISED}" in told
    assert (realised.served(), realised.on_canary()) == (ONE, TWO)


def test_a_night_whose_task_is_killed_on_its_last_try_is_told_of_once(world: World, killed: Run) -> None:
    killed.wait()
    world.wait_until(lambda: world.runs(TELLER), "telling")
    [told] = world.runs(TELLER)
    told.wait()

    task = killed.tasks["land_examples"]
    assert (task["state"], task["try_number"]) == ("failed", 1)
    assert killed.states["push_model"] == "upstream_failed"
    said = f"retrain_{KILLED}, night of {YESTERDAY}: stopped at land_examples: it did not come to say why."
    assert said in told.log_text("tell")
    assert "Likely out of memory error (OOM)" in killed.log_text("land_examples")


def test_housekeeping_removes_what_a_lost_writer_left_and_a_dry_run_only_says_so(
    world: World, place: Place
) -> None:
    dag_id, served = f"housekeeping_{RETURNING}", place.served()
    lost = leave_unfinished(place)

    swept = world.only_run(dag_id).wait()

    assert swept.states == {"plan_housekeeping": "success", "housekeep": "success"}
    assert not lost.exists()
    assert "its writer was lost on" in swept.log_text("plan_housekeeping")
    assert "1 artifact would be removed" in swept.get()["note"]

    leave_unfinished(place)
    said = world.start(dag_id, dry_run=True).wait()

    assert "1 artifact would be removed" in said.output("housekeep")["summary"]
    assert lost.exists()
    assert place.served() == served


def leave_unfinished(place: Place) -> Path:
    """What is left of a writer that was killed three days ago."""
    lost = place.store.root / RETURNING / "model" / "2026-11-02-lost.partial"
    lost.mkdir(parents=True)
    then = (datetime.now(timezone.utc) - timedelta(days=3)).timestamp()
    os.utime(lost, (then, then))
    return lost
