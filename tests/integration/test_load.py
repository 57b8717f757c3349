"""The label moves while users ask without pause: nobody is refused or answered by a wrong version."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.router import INSTALL, is_router_installed, running_router
from tests.integration.canaries import CanaryPlace
from tests.integration.constant_load import USERS, Answer
from tests.integration.moving import Moving, Seen, Step, Trial, Users, asking
from tests.integration.outgoing import keep_last_only, load
from tests.integration.publishing import Place
from tests.integration.release_world import World, command_line, running_serving

pytestmark = pytest.mark.integration

ONE, TWO, THREE, FOUR = (20261102001 + day * 1000 for day in range(4))
MODELS = {ONE: "good", TWO: "better", THREE: "best", FOUR: "last"}
RATE = 200
ROUTED = pytest.mark.skipif(not is_router_installed(), reason=INSTALL)


@pytest.fixture
def place(world: World, tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """A pipeline after its first night."""
    name = f"under_load_{request.node.callspec.params['entrance']}"
    place = Place(tmp_path / "store", name, world.serving, world.mlflow, world.saved_models)
    place.night(2, MODELS[ONE])
    return place


@pytest.fixture(params=["server", pytest.param("router", marks=ROUTED)])
def entrance(request: pytest.FixtureRequest) -> str:
    """Where users ask."""
    return str(request.param)


@pytest.fixture
def users(entrance: str, place: Place, tmp_path: Path) -> Iterator[Users]:
    serving = place.serving
    if entrance == "server":
        with asking(tmp_path, place, MODELS, serving.rest, serving.grpc, RATE) as users:
            yield users
        return
    with (
        running_router(tmp_path / "router", serving.models_dir, serving) as router,
        asking(tmp_path, place, MODELS, router.rest, router.grpc, RATE) as users,
    ):
        yield users


def go_back(place: Place) -> None:
    command = [sys.executable, "-m", "ml", "rollback", "--pipeline", "clicks", "--to", "previous"]
    subprocess.run([*command, "--reason", "clicks fell"], env=command_line(place), check=True)


def test_nobody_is_refused_or_answered_by_a_wrong_version(place: Place, users: Users) -> None:
    prepared = place.prepare(3, MODELS[TWO])

    pushed = users.watch(Step(ONE, TWO), lambda: place.push(3, **prepared))
    back = users.watch(Step(TWO, ONE), lambda: go_back(place))

    for seen in (pushed, back):
        assert (seen.failed, seen.wrong) == ([], [])
        assert seen.asked >= 200
    assert {answer.face for answer in users.load.answers()} == {"rest", "grpc"}


@ROUTED
def test_nobody_is_refused_or_answered_by_the_other_tracks_version_while_canaries_come_and_go(
    world: World, tmp_path: Path
) -> None:
    with running_serving(tmp_path / "canary") as canary:
        place = CanaryPlace(
            *(tmp_path / "store", "tried_under_load", world.serving, world.mlflow, world.saved_models),
            canary=canary,
        )
        place.night(2, MODELS[ONE])
        with (
            running_router(tmp_path / "router", world.serving.models_dir, world.serving, canary) as router,
            asking(tmp_path, place, MODELS, router.rest, router.grpc, RATE) as users,
        ):
            seen = list(come_and_go(place, users))
    for each in seen:
        assert (each.failed, each.wrong) == ([], [])
    assert all(each.by_trial for each in seen[:-1])
    assert str(ONE) not in place.directories()


def come_and_go(place: CanaryPlace, users: Users) -> Iterator[Seen]:
    """Two canaries are promoted, a third one is withdrawn, and what is no longer needed goes."""
    two, three, four = (Trial(place.model, version, 0.5) for version in (TWO, THREE, FOUR))
    prepared = place.prepare(3, MODELS[TWO])
    yield users.watch(Step(ONE, ONE, two, (ONE, TWO)), lambda: place.push(3, **prepared))
    yield users.watch(Step(ONE, TWO, two, (TWO, TWO)), lambda: place.promote(TWO))
    prepared_three = place.prepare(4, MODELS[THREE])
    yield users.watch(Step(TWO, TWO, three, (TWO, THREE)), lambda: place.push(4, **prepared_three))
    yield users.watch(Step(TWO, THREE, three, (THREE, THREE)), lambda: place.promote(THREE))
    prepared_four = place.prepare(5, MODELS[FOUR])
    yield users.watch(Step(THREE, THREE, four, (THREE, FOUR)), lambda: place.push(5, **prepared_four))
    yield users.watch(Step(THREE, THREE, four, (FOUR, THREE)), lambda: place.withdraw(FOUR))
    load(place, ONE)
    yield users.watch(Step(THREE, THREE), lambda: keep_last_only(place))


def test_the_users_of_a_trial_are_those_whom_the_router_sends_there() -> None:
    trial = Trial("clicks", TWO, 0.5)
    moving = Step(ONE, ONE, trial, (ONE, TWO))

    users = {user: moving.concerns(user, 10.0, 12.0).new for user in USERS}

    assert set(users.values()) == {ONE, TWO}
    assert {user for user, version in users.items() if version == TWO} == set(filter(trial.has, USERS))


MOVING = Moving(old=ONE, new=TWO, begun=10.0, done=12.0)


@pytest.mark.parametrize(
    ("version", "sent", "answered", "allowed"),
    [
        (ONE, 9.0, 9.5, True),
        (TWO, 9.0, 9.5, False),
        (ONE, 11.9, 12.1, True),
        (TWO, 10.0, 10.1, True),
        (ONE, 12.1, 12.2, False),
        (TWO, 12.1, 12.2, True),
        (None, 11.0, 11.1, False),
    ],
)
def test_each_version_answers_in_its_time(
    version: int | None, sent: float, answered: float, allowed: bool
) -> None:
    answer = Answer("rest", sent, sent, answered, score=0.5)

    assert MOVING.allows(answer, version) is allowed
