"""Model server, registry and ledger brought apart on real servers, and the one safe command for each case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ml.release.golden_version import set_golden
from ml.release.reconciliation import Reconciliation, reconcile, settle
from ml.release.rollback import roll_back
from ml.release.server import ModelServer
from ml.release.wish import Wish
from tests.demo.model_server.process import running_model_server
from tests.demo.process import ProcessFailed
from tests.demo.stack import empty_model_config
from tests.integration.canaries import CanaryPlace, canary_command_line
from tests.integration.publishing import Place
from tests.integration.release_world import World, connection_to, without_tensorflow
from tests.integration.serving_client import eventually

pytestmark = pytest.mark.integration

ONE, TWO, THREE = 20261102001, 20261103001, 20261104001
SETTLE = "python -m ml reconcile --pipeline clicks --settle"
WITHDRAW = 'python -m ml rollout withdraw --pipeline clicks --reason "reconcile: …"'


@pytest.fixture(scope="module")
def on_trial(world: World, tmp_path_factory: pytest.TempPathFactory) -> CanaryPlace:
    """A pipeline whose canary is on stable's server: one version serves, the next is on trial."""
    home = tmp_path_factory.mktemp("home") / "store"
    place = CanaryPlace(home, "three_say", world.serving, world.mlflow, world.saved_models)
    place.night(2)
    name_golden(place, ONE)
    place.night(3, "better")
    return place


@pytest.fixture
def place(on_trial: CanaryPlace) -> Iterator[CanaryPlace]:
    """The same; all three agree before and after."""
    assert compare(on_trial).agree
    yield on_trial
    assert compare(on_trial).agree


@pytest.fixture
def registry(world: World) -> MlflowClient:
    return MlflowClient(world.mlflow.uri)


def compare(place: Place) -> Reconciliation:
    return reconcile(place.records, place.serving, place.mlflow)


def name_golden(place: Place, number: int) -> None:
    set_golden(Wish(str(number), "reconcile: …", "ada"), place.records, place.serving, place.mlflow)


def point_label(place: Place, label: str, number: int | None) -> None:
    """Do as a stranger does who edits the model server's config."""
    with ModelServer(place.serving, place.model) as server:
        entry = server.entry()
        others = {name: named for name, named in entry.labels.items() if name != label}
        moved = others if number is None else {**others, label: number}
        server.apply(replace(entry, labels=moved), 60)


def point_alias(place: Place, registry: MlflowClient, alias: str, number: int) -> None:
    clause = f"name = '{place.model}' and tag.`serving.version` = '{number}'"
    [version] = registry.search_model_versions(clause)
    registry.set_registered_model_alias(place.model, alias, version.version)


def golden_command(number: int) -> str:
    return f'python -m ml golden set --pipeline clicks --version {number} --reason "reconcile: …"'


@pytest.mark.parametrize("elsewhere", [TWO, None])
def test_a_golden_label_that_a_stranger_moved_is_put_back_by_the_safe_command(
    place: CanaryPlace, elsewhere: int | None
) -> None:
    point_label(place, "golden", elsewhere)

    found = compare(place)

    said = f"model server: {elsewhere or 'nothing'}; registry: {ONE}; ledger: {ONE}"
    assert said in found.finding
    assert found.command == golden_command(ONE)
    name_golden(place, ONE)


def test_a_golden_alias_that_a_stranger_moved_is_put_back_by_the_safe_command(
    place: CanaryPlace, registry: MlflowClient
) -> None:
    point_alias(place, registry, "golden", TWO)

    found = compare(place)

    assert f"model server: {ONE}; registry: {TWO}; ledger: {ONE}" in found.finding
    assert found.command == golden_command(ONE)
    name_golden(place, ONE)


def test_a_naming_that_was_lost_after_its_label_had_moved_is_repeated(
    place: CanaryPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("ml.release.rollback.WayBack._ask_registry", die)
        with pytest.raises(KeyboardInterrupt):
            name_golden(place, TWO)

    found = compare(place)

    assert found.command == golden_command(TWO)
    assert f"naming {TWO} golden was lost" in found.finding
    name_golden(place, TWO)
    assert compare(place).agree
    name_golden(place, ONE)


def test_an_alias_of_the_canary_that_a_stranger_moved_is_settled(
    place: CanaryPlace, registry: MlflowClient
) -> None:
    point_alias(place, registry, "canary", ONE)

    found = compare(place)
    settle(place.records, place.serving, place.mlflow)

    assert f"canary is not (model server: {TWO}; registry: {ONE}; ledger: {TWO})" in found.finding
    assert found.command == SETTLE


def test_the_command_line_shows_what_the_three_say_of_each_label(place: CanaryPlace) -> None:
    shown = without_tensorflow(canary_command_line(place), "reconcile", "--pipeline", "clicks")

    rows = [line.split() for line in shown.splitlines()]
    for label, number in (("stable", ONE), ("golden", ONE), ("canary", TWO)):
        assert [label, "ledger", str(number)] in rows
        assert [label, "model", "server", str(number)] in rows
    assert "All three agree." in shown


def test_a_canary_whose_label_names_another_version_is_withdrawn_and_a_stray_label_taken_off(
    world: World, tmp_path: Path
) -> None:
    place = CanaryPlace(tmp_path / "store", "astray", world.serving, world.mlflow, world.saved_models)
    place.night(2)
    place.night(3, "better")
    point_label(place, "canary", ONE)

    astray = compare(place)
    place.withdraw(TWO)
    stray = compare(place)
    settle(place.records, place.serving, place.mlflow)

    assert (astray.command, stray.command) == (WITHDRAW, SETTLE)
    assert "is not what its users are answered by" in astray.finding
    assert "no version is on trial" in stray.finding
    assert (place.on_canary(), place.served()) == (None, ONE)
    assert compare(place).agree


def test_a_label_whose_version_is_not_loaded_is_moved_by_the_safe_command(
    world: World, tmp_path: Path
) -> None:
    place = Place(tmp_path / "store", "unloaded", world.serving, world.mlflow, world.saved_models)
    place.night(2)
    place.night(3, "better")
    with ModelServer(place.serving, place.model) as server:
        server.apply(replace(server.entry(), versions=(ONE,)), 60)

    found = eventually(lambda: compare(place), lambda seen: not seen.agree)
    roll_back(Wish("previous", "it is not loaded", "ada"), place.records, place.serving, place.mlflow)

    assert "names a version that is not loaded" in found.server
    assert found.command == 'python -m ml rollback --pipeline clicks --to previous --reason "…"'
    assert (place.served(), compare(place).agree) == (ONE, True)
    assert place.ledger.entries()[-1]["from"] == TWO


def test_a_server_that_ends_because_of_a_broken_version_comes_up_as_the_page_says(
    world: World, tmp_path: Path
) -> None:
    config, log = empty_model_config(tmp_path / "models" / "models.config"), tmp_path / "server.log"
    with running_model_server(config, log) as server:
        place = Place(
            tmp_path / "store", "broken", connection_to(server, config), world.mlflow, world.saved_models
        )
        place.night(2)
        place.night(3, "better")
    (place.serving.version_directory(place.model, TWO) / "saved_model.pb").unlink()
    with (
        pytest.raises(ProcessFailed, match=f"version: {TWO}}} due to error"),
        running_model_server(config, log),
    ):
        pass

    config.write_text(config.read_text().replace(str(TWO), str(ONE)).replace(f"versions: {ONE}\n", "", 1))
    with running_model_server(config, log) as server:
        place = replace(place, serving=connection_to(server, config))
        roll_back(Wish(str(ONE), "its files are broken", "ada"), place.records, place.serving, place.mlflow)

        assert (place.served(), compare(place).agree) == (ONE, True)
