"""The label moves while users ask without pause: nobody is refused or answered by a wrong version."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.router import INSTALL, is_router_installed, running_router
from tests.integration.constant_load import Answer
from tests.integration.moving import Moving, Users, asking
from tests.integration.publishing import Place
from tests.integration.release_world import World, command_line

pytestmark = pytest.mark.integration

ONE, TWO, THREE = 20261102001, 20261103001, 20261104001
MODELS = {ONE: "good", TWO: "better", THREE: "best"}
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

    pushed = users.watch(ONE, TWO, lambda: place.push(3, **prepared))
    back = users.watch(TWO, ONE, lambda: go_back(place))

    for seen in (pushed, back):
        assert (seen.failed, seen.wrong) == ([], [])
        assert seen.asked >= 200
    assert {answer.face for answer in users.load.answers()} == {"rest", "grpc"}


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
