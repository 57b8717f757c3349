"""Going back on real servers: by version, by number of deaths, without MLflow, and never into a pit twice."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from ml.connections import MlflowConnection, ServingConnection
from ml.errors import Misconfigured, StoreCorrupted, Unavailable, Withheld
from ml.release.failures import WrongAnswers
from ml.release.fence import check_not_rolled_back
from ml.release.golden_version import kept_versions, readmit, set_golden
from ml.release.history import rolled_back
from ml.release.reconciliation import reconcile, settle
from ml.release.rehearsal import read_rehearsal, rehearse_golden
from ml.release.rollback import RolledBack, roll_back
from ml.release.server import ModelServer
from ml.release.wish import Wish
from tests.demo.ports import free_port
from tests.integration.forking import FORKSERVER
from tests.integration.publishing import Place, kill_after
from tests.integration.release_world import (
    World,
    aliased,
    command_line,
    listed,
    running_serving,
    without_tensorflow,
)
from tests.integration.small_disk import small_disk

pytestmark = pytest.mark.integration

ONE, TWO, THREE, FOUR = 20261102001, 20261103001, 20261104001, 20261105001
NO_ROOM_BYTES = 4096
DEATHS = ["load", "ask", "announce", "move_label", "move_alias", "record"]


@pytest.fixture(scope="module")
def published(world: World, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A pipeline after three nights; the tests go back and forth between its versions."""
    home = tmp_path_factory.mktemp("home") / "store"
    place = Place(home, "back_and_forth", world.serving, world.mlflow, world.saved_models)
    for day, saved_model in ((2, "good"), (3, "better"), (4, "good")):
        place.night(day, saved_model)
    return place


@pytest.fixture
def place(published: Place) -> Place:
    """The same, with its third version served and nothing held against it."""
    for number in (TWO, THREE):
        if number in rolled_back(published.ledger.entries()) or number == THREE:
            go_back(published, str(number), "for the next test")
    return published


@pytest.fixture
def registry(world: World) -> MlflowClient:
    return MlflowClient(world.mlflow.uri)


@pytest.fixture
def unreachable() -> MlflowConnection:
    return MlflowConnection(uri=f"http://127.0.0.1:{free_port()}")


def go_back(
    place: Place, to: str, reason: str = "clicks fell", mlflow: MlflowConnection | None = None, **more: Any
) -> RolledBack:
    wish = Wish(to, reason, "ada", **more)
    return roll_back(wish, place.records, place.serving, mlflow or place.mlflow)


def said(place: Place, since: int) -> list[dict[str, Any]]:
    """The lines that were added, without what differs each time."""
    lines = place.ledger.entries()[since:]
    return [{name: line[name] for name in line if name not in ("time", "line", "previous")} for line in lines]


def test_going_back_moves_label_and_alias_and_the_ledger_says_why(place: Place, registry: MlflowClient):
    before = len(place.ledger.entries())

    done = go_back(place, "previous")

    assert (done.version, done.previous, done.aliased) == (TWO, THREE, True)
    assert done.difference is not None
    assert place.served() == TWO
    assert listed(place)[0] == (TWO, THREE)
    assert aliased(registry, place, "production")["serving.version"] == str(TWO)
    moving, moved = said(place, before)
    assert (moving["event"], moved["event"]) == ("moving", "moved")
    assert (moved["from"], moved["to"], moved["who"], moved["reason"]) == (THREE, TWO, "ada", "clicks fell")


def test_the_registry_says_which_version_was_left_and_why(place: Place, registry: MlflowClient):
    go_back(place, "previous")

    versions = registry.search_model_versions(f"name = '{place.model}'")
    tags = {version.tags["serving.version"]: version.tags for version in versions}
    assert tags[str(THREE)]["rolled_back"].endswith("by ada: clicks fell")
    assert json.loads(tags[str(TWO)]["ledger.line"])["to"] == TWO


def test_going_back_twice_leads_further_back_and_loads_what_is_not_loaded(place: Place):
    go_back(place, "previous")
    assert go_back(place, "previous").version == ONE
    assert place.served() == ONE

    with pytest.raises(Misconfigured, match=r"no version 'previous' .* were published: 202"):
        go_back(place, "previous")


@pytest.mark.parametrize("to", ["yesterday", "20261109001", "golden"])
def test_what_there_is_not_is_named_with_what_there_is(place: Place, to: str):
    with pytest.raises(Misconfigured, match=f"no version '{to}' .*{THREE}, {TWO}, {ONE}"):
        go_back(place, to)
    assert place.served() == THREE


def test_a_reason_is_required(place: Place):
    with pytest.raises(Misconfigured, match="the reason has 0 characters"):
        go_back(place, "previous", "  ")


def test_going_to_what_serves_changes_nothing(place: Place):
    before = place.ledger.entries()

    assert go_back(place, str(THREE)) == RolledBack(THREE, THREE, True, None)
    assert place.ledger.entries() == before


def test_the_command_line_goes_back_without_tensorflow(place: Place):
    command = ["rollback", "--pipeline", "clicks", "--to", "previous", "--reason", "clicks fell"]
    printed = without_tensorflow(command_line(place), *command)

    assert f"clicks is served by {TWO} (before: {THREE})" in printed
    assert place.served() == TWO


def test_without_mlflow_users_come_first_and_the_alias_follows_later(
    place: Place, registry: MlflowClient, unreachable: MlflowConnection
):
    before = len(place.ledger.entries())

    assert go_back(place, "previous", mlflow=unreachable).aliased is False
    assert place.served() == TWO
    assert said(place, before)[-1]["alias"] is False
    found = reconcile(place.records, place.serving, place.mlflow)
    assert (found.server, found.registry, found.ledger, found.agree) == (
        str(TWO),
        str(THREE),
        str(TWO),
        False,
    )
    assert found.command == "python -m ml reconcile --pipeline clicks --settle"

    settle(place.records, place.serving, place.mlflow)
    assert said(place, before)[-1]["event"] == "settled"
    assert aliased(registry, place, "production")["serving.version"] == str(TWO)
    assert reconcile(place.records, place.serving, place.mlflow).agree


def test_a_torn_line_is_named_and_everybody_agrees_all_the_same(
    place: Place, caplog: pytest.LogCaptureFixture
):
    lines = len(place.ledger.entries())
    with place.ledger.path.open("ab") as file:
        file.write(b'{"event": "mov')

    assert reconcile(place.records, place.serving, place.mlflow).agree
    assert f"a torn line of 14 bytes after line {lines}: a writer was killed" in caplog.text

    go_back(place, "previous")
    caplog.clear()
    assert reconcile(place.records, place.serving, place.mlflow).agree
    assert "torn line" not in caplog.text


def test_a_version_that_answers_otherwise_than_at_its_publication_gets_no_users(place: Place):
    answers = place.store.root / "clicks" / "release" / "golden_requests"
    kept = (answers / f"{TWO}.json").read_bytes()
    # The second model is another one, so the first one's answers are wrong for it.
    (answers / f"{TWO}.json").write_bytes((answers / f"{ONE}.json").read_bytes())
    try:
        with pytest.raises(WrongAnswers, match="The label was not moved"):
            go_back(place, "previous")
    finally:
        (answers / f"{TWO}.json").write_bytes(kept)
    assert place.served() == THREE


def test_a_tampered_ledger_stops_everything_but_says_how_to_go_on(place: Place):
    content = place.ledger.path.read_bytes()
    place.ledger.path.write_bytes(content.replace(b'"who":"ada"', b'"who":"eve"', 1))
    try:
        with pytest.raises(StoreCorrupted, match=r"line \d+ of .* set both aside"):
            go_back(place, "previous")
    finally:
        place.ledger.path.write_bytes(content)
    assert place.served() == THREE


def die(place: Place, after: str) -> None:
    process = FORKSERVER.Process(target=go_back_and_die, args=(place, after))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def go_back_and_die(place: Place, after: str) -> None:
    from ml.release import rollback

    kill_after(rollback, "WayBack", ("ACTIONS",), after)
    go_back(place, "previous")


@pytest.mark.parametrize("death", DEATHS)
def test_a_roll_back_that_was_killed_and_never_tried_again_is_settled_by_the_next_night(
    place: Place, registry: MlflowClient, death: str
):
    die(place, death)
    served = place.served()

    settle(place.records, place.serving, place.mlflow)

    assert place.served() == served
    assert aliased(registry, place, "production")["serving.version"] == str(served)
    assert reconcile(place.records, place.serving, place.mlflow).agree


def test_a_run_that_is_repeated_moves_nothing_a_second_time(place: Place):
    go_back(place, "previous", "run of tonight", is_run=True)
    again = go_back(place, "previous", "run of tonight", is_run=True)

    assert (again.version, place.served()) == (TWO, TWO)


def test_another_wish_after_a_killed_one_still_holds_the_left_version_back(place: Place):
    die(place, "move_label")

    assert go_back(place, "previous", "another reason").version == ONE
    with pytest.raises(Withheld, match=rf"the content of {THREE} was rolled back"):
        check(place, THREE)


def restore(place: Place, lines: bytes, head: bytes) -> None:
    """Put a copy of the ledger in its place, whole as it was then."""
    place.ledger.path.write_bytes(lines)
    place.ledger.chain.head_path.write_bytes(head)


def check(place: Place, number: int) -> None:
    version = place.records.versions.find(number)
    assert version is not None
    check_not_rolled_back(version, rolled_back(place.ledger.entries()), place.pipeline.name)


def test_a_label_that_a_stranger_moved_is_named_with_the_one_safe_command(place: Place):
    with ModelServer(place.serving, place.model) as server:
        server.apply(server.entry().labelled(TWO, "stable"), 60)

    found = reconcile(place.records, place.serving, place.mlflow)
    assert (found.server, found.registry, found.ledger) == (str(TWO), str(THREE), str(THREE))
    assert f"rollback --pipeline clicks --to {THREE}" in found.command

    go_back(place, str(THREE), "reconcile: somebody moved the label")
    assert reconcile(place.records, place.serving, place.mlflow).agree


def test_an_alias_that_a_stranger_moved_is_brought_back_by_the_safe_command(
    place: Place, registry: MlflowClient
):
    versions = registry.search_model_versions(f"name = '{place.model}'")
    first = next(version for version in versions if version.tags["serving.version"] == str(ONE))
    registry.set_registered_model_alias(place.model, "production", first.version)

    found = reconcile(place.records, place.serving, place.mlflow)
    assert (found.registry, found.agree) == (str(ONE), False)
    go_back(place, str(THREE), "reconcile: somebody moved the alias")
    assert reconcile(place.records, place.serving, place.mlflow).agree


def test_a_model_server_that_is_down_moves_nothing(place: Place):
    down = ServingConnection(
        **{**place.serving.model_dump(), "rest": "http://127.0.0.1:9", "grpc": "127.0.0.1:9"}
    )
    before = place.ledger.entries()

    with pytest.raises(Unavailable, match="Is it running"):
        roll_back(Wish("previous", "clicks fell", "ada"), place.records, down, place.mlflow)
    assert place.ledger.entries() == before
    assert "does not say" in reconcile(place.records, down, place.mlflow).finding


def test_what_was_rolled_back_is_withheld_until_a_person_readmits_it_and_others_may_come(
    world: World, tmp_path: Path
):
    place = Place(tmp_path / "store", "readmitted", world.serving, world.mlflow, world.saved_models)
    place.night(2)
    place.night(4, "better")
    go_back(place, "previous")
    again = place.prepare_again(4, "better", attempt=2)

    with pytest.raises(Withheld, match=rf"{THREE} was rolled back on .* by ada \(clicks fell\)"):
        place.push(4, **again)
    assert place.served() == ONE

    # Older than what was rolled back, newer than what serves.
    place.night(3, "better")
    assert place.served() == TWO

    older = place.ledger.path.read_bytes(), place.ledger.chain.head_path.read_bytes()
    readmit(Wish(str(THREE), "it was the client", "ada"), place.records, place.serving, place.mlflow)
    whole = place.ledger.path.read_bytes(), place.ledger.chain.head_path.read_bytes()
    restore(place, *older)
    torn = reconcile(place.records, place.serving, place.mlflow)
    assert "has no such line" in torn.registry
    assert "Waiting does not help" in torn.finding
    restore(place, *whole)
    assert reconcile(place.records, place.serving, place.mlflow).agree

    place.push(4, **place.prepare_again(4, "better", attempt=3))
    assert place.served() == THREE


def test_the_golden_version_stays_loaded_and_the_way_back_to_it_is_rehearsed(
    place: Place, tmp_path: Path, registry: MlflowClient
):
    # The last test of this place: it has a golden version from here on.
    set_golden(Wish(str(ONE), "two calm weeks", "ada"), place.records, place.serving, place.mlflow)
    place.night(5, "better")

    assert listed(place) == ((ONE, THREE, FOUR), {"stable": FOUR, "golden": ONE})
    assert aliased(registry, place, "golden")["serving.version"] == str(ONE)
    assert kept_versions(place.records) == {
        FOUR: ["served under the label stable"],
        THREE: ["where a roll-back to previous leads"],
        ONE: ["golden"],
    }
    with running_serving(tmp_path / "scratch") as scratch:
        rehearsed = rehearse_golden(place.records, place.serving, scratch)
        assert list((scratch.models_dir / place.model).iterdir()) == []
        assert (rehearsed["version"], rehearsed["passed"]) == (ONE, True)
        assert read_rehearsal(place.records) == rehearsed
        a_scratch_server_without_room_is_on_record(place, scratch)

        (place.serving.models_dir / place.model / str(ONE) / "saved_model.pb").write_bytes(b"damaged")
        with pytest.raises(StoreCorrupted):
            rehearse_golden(place.records, place.serving, scratch)
    damaged = read_rehearsal(place.records)
    assert damaged is not None
    assert (damaged["passed"], "is not the file that was published" in damaged["problem"]) == (False, True)

    assert go_back(place, "golden").version == ONE
    with pytest.raises(Misconfigured, match="same rest and grpc and models_dir"):
        rehearse_golden(place.records, place.serving, place.serving)


def a_scratch_server_without_room_is_on_record(place: Place, scratch: ServingConnection) -> None:
    directory = scratch.models_dir / place.model
    with small_disk(directory, NO_ROOM_BYTES):
        with pytest.raises(OSError, match=r"could not be copied to .*Make room there"):
            rehearse_golden(place.records, place.serving, scratch)
        assert list(directory.iterdir()) == []

    failed = read_rehearsal(place.records)
    assert failed is not None
    assert (failed["passed"], "could not be copied" in failed["problem"]) == (False, True)
