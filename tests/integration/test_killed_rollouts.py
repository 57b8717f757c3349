"""The moves of a canary, and a roll-back, killed before each effect, and done by the next try."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from mlflow import MlflowClient

from ml.artifact import Artifact
from ml.release.history import arrivals, rolled_back
from ml.release.reconciliation import reconcile
from ml.release.router import route_file
from ml.release.staging import unstage
from tests.integration.canaries import CanaryPlace
from tests.integration.deaths import MOVES, Point, effects, points_of
from tests.integration.forking import FORKSERVER
from tests.integration.publishing import Place, die_instead_of, version_of
from tests.integration.release_world import World, listed, running_serving
from tests.ml.release.mishaps import Witness

pytestmark = pytest.mark.integration

TRIED = ("start", "promote", "withdraw", "rollback")
# A promotion ends the trial that the start before it has begun; a roll-back leaves what was promoted.
POINTS = sorted(points_of(*TRIED), key=lambda point: point.number)


@dataclass
class Trials:
    """A pipeline whose versions come one a day, each to be tried by a few users first."""

    place: CanaryPlace
    stable: int
    trial: int | None = None
    days: Iterator[int] = field(default_factory=lambda: itertools.count(5))

    def begin(self, move: str) -> Trial:
        """Come to where the move can be made."""
        if move == "start":
            day = next(self.days)
            return Trial(self.place, move, version_of(day), day, self.place.prepare(day))
        if move == "rollback":
            return Trial(self.place, move, self._find_way_back())
        if self.trial is None:
            self.done(self.begin("start").make())
        assert self.trial is not None
        return Trial(self.place, move, self.trial)

    def _find_way_back(self) -> int:
        """An older version that has served, which housekeeping has taken off the disk since; and no trial."""
        while self.trial is not None or not (older := self._older_unloaded()):
            self.done(self.begin("promote").make())
        unstage(self.place.serving.version_directory(self.place.model, older[-1]))
        return older[-1]

    def _older_unloaded(self) -> list[int]:
        served = {passage.to for passage in arrivals(self.place.ledger.entries(), "stable")}
        return sorted(number for number in served.difference(listed(self.place)[0]) if number < self.stable)

    def done(self, trial: Trial) -> None:
        """Remember what became of it."""
        self.trial = trial.version if trial.move == "start" else None
        self.stable = trial.version if trial.moves_stable else self.stable


@dataclass(frozen=True)
class Trial:
    """A move that can be made, in this process or in one that is killed."""

    place: CanaryPlace
    move: str
    version: int
    day: int = 0
    prepared: dict[str, Artifact] = field(default_factory=dict)

    @property
    def moves_stable(self) -> bool:
        """Whether all users are answered by the version afterwards."""
        return self.move in ("promote", "rollback")

    def make(self) -> Trial:
        """Make it, or go on with it."""
        if self.move == "start":
            self.place.push(self.day, **self.prepared)
        elif self.move == "promote":
            self.place.promote(self.version)
        elif self.move == "rollback":
            self.place.go_back(self.version)
        else:
            self.place.withdraw(self.version)
        return self

    def make_and_die(self, effect: str, call: int) -> None:
        """Make it in this process, which is killed right before an effect."""
        die_instead_of(*effect.rsplit(".", 1), calls=call)
        self.make()


@pytest.fixture(scope="module")
def trials(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    home = tmp_path_factory.mktemp("rollouts")
    with running_serving(home / "canary") as canary:
        parts = (home / "store", "killed_rollouts", world.serving, world.mlflow, world.saved_models)
        for day in (2, 3, 4):
            Place(*parts).night(day)
        yield Trials(CanaryPlace(*parts, canary=canary), version_of(4))


def state(place: CanaryPlace) -> dict[str, Any]:
    """All that a move of a canary may change, where it can be seen."""
    registry = MlflowClient(place.mlflow.uri)
    aliases = registry.get_registered_model(place.model).aliases
    tagged = {name: registry.get_model_version(place.model, aliases[name]).tags for name in aliases}
    route = json.loads(route_file(place.pipeline, place.serving).read_text())
    return {
        "answered by": (place.served(), place.on_canary()),
        "labels": (listed(place)[1], listed(place, place.tracks.canary)[1]),
        "aliases": {name: int(tagged[name]["serving.version"]) for name in aliases if name != "candidate"},
        "route": (route["share"], route["salt"]),
        "half-done": sorted(map(str, place.home.parent.rglob(".staging-*"))),
    }


def said(place: CanaryPlace, since: int) -> list[tuple[str, str, int]]:
    return [(line["event"], line["action"], line["to"]) for line in place.ledger.entries()[since:]]


def expected(trials: Trials, trial: Trial) -> dict[str, Any]:
    """The state after a move that nothing happened to."""
    stable, canary = {
        "start": (trials.stable, trial.version),
        "promote": (trial.version, None),
        "withdraw": (trials.stable, None),
        "rollback": (trial.version, None),
    }[trial.move]
    return {
        "answered by": (stable, canary),
        "labels": ({"stable": stable}, {"canary": canary} if canary else {}),
        "aliases": {"production": stable} | ({"canary": canary} if canary else {}),
        "route": (0.5, str(canary)) if canary else (0.0, ""),
        "half-done": [],
    }


def lines(trial: Trial) -> list[tuple[str, str, int]]:
    """What the ledger says of a move that nothing happened to."""
    action = "push" if trial.move == "start" else trial.move
    events = ["noted"] if trial.move == "withdraw" else ["moving", "moved"]
    return [(event, action, trial.version) for event in events]


@pytest.mark.parametrize("move", TRIED)
def test_the_points_are_all_effects_that_a_move_has(
    trials: Trials, move: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = trials.begin(move)
    witness = Witness()
    witness.watch(monkeypatch)

    trials.done(trial.make())

    assert effects(witness) == list(MOVES[move])
    monkeypatch.undo()
    assert state(trials.place)["route"][0] == (0.5 if move == "start" else 0.0)


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_a_move_that_was_killed_is_done_by_the_next_try(trials: Trials, point: Point) -> None:
    trial, place = trials.begin(point.move), trials.place
    since, before = len(place.ledger.entries()), trials.stable

    lost = FORKSERVER.Process(target=trial.make_and_die, args=(point.effect, point.call))
    lost.start()
    lost.join()
    assert lost.exitcode == -signal.SIGKILL
    meanwhile = state(place)
    assert meanwhile["answered by"][0] in (before, trial.version if trial.moves_stable else before)
    assert meanwhile["route"][0] == 0 or meanwhile["answered by"][1] is not None

    trial.make()

    assert state(place) == expected(trials, trial)
    assert reconcile(place.records, place.serving, place.mlflow).agree
    assert said(place, since) == lines(trial)
    left = {"withdraw": trial.version, "rollback": before}.get(point.move)
    assert {before, trial.version} & rolled_back(place.ledger.entries()).keys() == ({left} - {None})
    trials.done(trial)
