from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.demo.model_server.lifecycle import Lifecycle, ManagedVersion, Phase, Retries, Step, next_action
from tests.demo.model_server.source import VersionSource, versions_below
from tests.demo.model_server.states import State, StateBoard
from tests.demo.model_server.status import StatusError

ONCE = Retries(0, 0.0)


def managed(version: int, phase: Phase, is_aspired: bool = True) -> ManagedVersion:
    return ManagedVersion(version, Path(str(version)), is_aspired, phase)


def load_name(path: Path) -> str:
    if "broken" in path.name:
        raise ValueError(f"{path.name} is broken")
    return path.name


@pytest.fixture
def board() -> StateBoard:
    return StateBoard()


@pytest.fixture
def lifecycle(board: StateBoard) -> Lifecycle[str]:
    """A lifecycle that the test advances by hand; a servable is the name of its directory."""
    return Lifecycle(board, load_name, ONCE)


def settle(lifecycle: Lifecycle[str]) -> None:
    while lifecycle.advance():
        pass


def states(board: StateBoard) -> dict[int, State]:
    return {each.version: each.state for each in board.versions("clicks")}


def test_the_highest_new_version_is_loaded_first():
    action = next_action([managed(1, Phase.NEW), managed(2, Phase.NEW)])

    assert action is not None
    assert (action.step, action.managed.version) == (Step.LOAD, 2)


def test_the_last_version_that_answers_stays_until_its_successor_does():
    old = managed(1, Phase.READY, is_aspired=False)

    assert next_action([old, managed(2, Phase.NEW)]).step is Step.LOAD
    assert next_action([old, managed(2, Phase.FAILED)]) is None
    assert next_action([old, managed(2, Phase.READY)]).step is Step.UNLOAD


def test_a_model_that_nobody_wants_is_unloaded_at_once():
    assert next_action([managed(1, Phase.READY, is_aspired=False)]).step is Step.UNLOAD


@given(st.lists(st.dictionaries(st.integers(1, 5), st.booleans(), min_size=1), min_size=1, max_size=8))
def test_once_a_model_answers_it_answers_while_anything_is_wanted(rounds):
    """Whatever versions come and go, good or broken, some version answers after each single action."""
    lifecycle = Lifecycle(StateBoard(), load_name, ONCE)
    lifecycle.aspire("clicks", {9: Path("good")})
    settle(lifecycle)

    for wanted in rounds:
        paths = {version: Path("good" if is_good else "broken") for version, is_good in wanted.items()}
        lifecycle.aspire("clicks", paths)
        while lifecycle.advance():
            lifecycle.find("clicks")


@given(st.lists(st.dictionaries(st.integers(1, 5), st.booleans()), min_size=1, max_size=8))
def test_good_versions_that_are_wanted_are_available_in_the_end_and_no_other(rounds):
    lifecycle = Lifecycle(StateBoard(), lambda path: path.name, ONCE)
    for wanted in rounds:
        lifecycle.aspire("clicks", {version: Path(str(version)) for version in wanted})
        settle(lifecycle)

    for version in range(1, 6):
        if version in rounds[-1]:
            assert lifecycle.find("clicks", version) == (version, str(version))
        else:
            with pytest.raises(StatusError, match="Servable not found"):
                lifecycle.find("clicks", version)


def test_a_failed_load_ends_with_its_error(lifecycle, board):
    lifecycle.aspire("clicks", {1: Path("broken")})
    settle(lifecycle)

    (failed,) = board.versions("clicks")
    assert failed.state is State.END
    assert "broken is broken" in failed.error.message


def test_a_failed_version_is_not_tried_again_until_it_was_gone(lifecycle, board):
    lifecycle.aspire("clicks", {1: Path("broken")})
    settle(lifecycle)
    lifecycle.aspire("clicks", {1: Path("mended")})
    settle(lifecycle)
    assert states(board) == {1: State.END}

    lifecycle.aspire("clicks", {})
    settle(lifecycle)
    lifecycle.aspire("clicks", {1: Path("mended")})
    settle(lifecycle)

    assert states(board) == {1: State.AVAILABLE}


def test_a_load_is_tried_as_often_as_asked(board):
    tries = []

    def load(path: Path) -> str:
        tries.append(path)
        raise OSError("the disk is away")

    lifecycle = Lifecycle(board, load, Retries(2, 0.0))
    lifecycle.aspire("clicks", {1: Path("1")})
    settle(lifecycle)

    assert len(tries) == 3


def test_a_version_that_is_given_up_before_it_is_loaded_ends(lifecycle, board):
    lifecycle.aspire("clicks", {1: Path("1"), 2: Path("2")})
    lifecycle.advance()
    lifecycle.aspire("clicks", {2: Path("2")})
    settle(lifecycle)

    assert states(board) == {2: State.AVAILABLE, 1: State.END}


def test_waiting_for_a_model_ignores_what_happened_before(board):
    board.publish("clicks", 1, State.AVAILABLE)
    before = board.sequence
    board.publish("clicks", 2, State.END, StatusError(grpc.StatusCode.DATA_LOSS, "half a file"))

    with pytest.raises(StatusError, match=r"version: 2.*half a file"):
        board.wait_until_available(["clicks"], after=before)


def test_waiting_ends_when_the_server_stops(board):
    board.close()

    with pytest.raises(StatusError, match="CANCELLED"):
        board.wait_until_available(["clicks"], after=0)


@pytest.mark.parametrize(
    ("name", "version"),
    [("1", 1), ("20260310001", 20260310001), ("007", 7), ("-3", -3), ("+4", 4), (str(2**63 - 1), 2**63 - 1)],
)
def test_an_int64_is_a_version(tmp_path, name, version):
    (tmp_path / name).mkdir()

    assert versions_below(tmp_path) == {version: tmp_path / name}


@pytest.mark.parametrize("name", ["v1", "1.tmp", ".1", "stable", "1_000", "٣", "1e3", str(2**63)])
def test_any_other_name_is_invisible(tmp_path, name):
    (tmp_path / name).mkdir()

    assert versions_below(tmp_path) == {}


def test_a_base_path_that_cannot_be_read_changes_nothing_for_any_model(tmp_path):
    config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2").ModelConfig
    told: list[tuple[str, list[int]]] = []
    source = VersionSource(lambda model, paths: told.append((model, list(paths))), interval_seconds=0)
    (tmp_path / "here" / "1").mkdir(parents=True)
    source.configure([config(name=name, base_path=str(tmp_path / name)) for name in ("here", "missing")])

    source.poll()
    assert told == []

    (tmp_path / "missing").mkdir()
    source.poll()
    assert told == [("here", [1]), ("missing", [])]
