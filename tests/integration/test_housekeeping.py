"""Housekeeping on real servers: users notice nothing, and every way back that was promised stays open."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from ml.__main__ import main
from ml.config import Approval, Housekeeping
from ml.errors import Removed
from ml.housekeeping import House, housekeep, plan_housekeeping
from ml.release.golden_version import set_golden
from ml.release.old_versions import remove_versions
from ml.release.rollback import roll_back
from ml.release.rpc import predict_request
from ml.release.server import ModelServer
from ml.release.wish import Wish
from tests.integration.deaths import effects
from tests.integration.forking import FORKSERVER
from tests.integration.outgoing import load, loaded
from tests.integration.publishing import Place, die_instead_of
from tests.integration.release_world import World, listed, running_serving
from tests.integration.traffic import Reply, asking
from tests.ml.release.mishaps import Witness

pytestmark = pytest.mark.integration

ONE, TWO, THREE, FOUR, FIVE = (20261100001 + day * 1000 for day in range(2, 7))
LATER = datetime.now(timezone.utc) + timedelta(days=100)
ENOUGH = 200

# All that the removal of a version changes, in this order: the artifacts' are in tests/ml/housekeeping.
UNLOAD = ("ml.release.model_config.write_atomically", "ml.release.rpc.RpcServer.reload")
UNSTAGE = "ml.release.old_versions.unstage"
# The last one is the second half of unstaging.
DEATHS = (*UNLOAD, UNSTAGE, "shutil.rmtree")


@pytest.fixture(scope="module")
def place(world: World, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A pipeline after five nights, with its first version golden and its second one loaded by somebody."""
    home = tmp_path_factory.mktemp("home") / "store"
    place = Place(home, "swept", world.serving, world.mlflow, world.saved_models)
    for day in range(2, 7):
        place.night(day)
    golden = Wish(to=str(ONE), reason="two calm weeks", who="a person")
    set_golden(golden, place.records, place.serving, place.mlflow)
    load(place, TWO)
    return place


def house_of(place: Place) -> House:
    """A house in which two versions, and what is younger than a week, are kept."""
    limits = Housekeeping(examples_days=7, models_days=7, what_if_days=7)
    serving = place.pipeline.serving.model_copy(update={"keep_versions": 2})
    pipeline = place.pipeline.model_copy(update={"serving": serving, "housekeeping": limits})
    return House(pipeline, place.store, (place.serving,), place.mlflow)


def files(place: Place) -> dict[str, int]:
    """Every file of the store but its locks, and of the model server, with the time of its last change."""
    roots = (place.store.root, place.serving.models_dir)
    paths = (path for root in roots for path in root.rglob("*") if path.is_file())
    return {str(path): path.stat().st_mtime_ns for path in paths if ".locks" not in path.parts}


class Asked:
    """Users who name the label that users name, over one face of the server."""

    def __init__(self, place: Place, face: str) -> None:
        self.face, self._place = face, place
        known = place.records.known_answers.read(FIVE)
        assert known is not None
        self._columns = {name: values[:1] for name, values in known[0].items()}
        self._client = httpx.Client(base_url=place.serving.rest, timeout=60)
        self._channel = grpc.insecure_channel(place.serving.grpc)
        self._predict = PredictionServiceStub(self._channel).Predict

    def ask(self, user: str) -> Reply:
        try:
            return Reply(self.face, user, self._score())
        except (httpx.HTTPError, grpc.RpcError) as error:
            return Reply(self.face, user, None, repr(error))

    def close(self) -> None:
        self._client.close()
        self._channel.close()

    def _score(self) -> float:
        if self.face == "grpc":
            request = predict_request(self._place.model, self._columns)
            request.model_spec.version_label = "stable"
            (output,) = self._predict(request, timeout=60).outputs.values()
            return float(np.ravel(tf.make_ndarray(output))[0])
        inputs = {name: values.tolist() for name, values in self._columns.items()}
        path = f"/v1/models/{self._place.model}/labels/stable:predict"
        answer = self._client.post(path, content=json.dumps({"inputs": inputs}))
        answer.raise_for_status()
        return float(np.ravel(answer.json()["outputs"])[0])


def test_a_plan_changes_nothing(place: Place) -> None:
    before = files(place), listed(place), loaded(place)

    plan = plan_housekeeping(house_of(place), LATER)

    assert [one.name for one in plan.versions] == [f"version {number}" for number in (TWO, THREE)]
    assert "golden" in plan.kept_versions[ONE]
    assert (files(place), listed(place), loaded(place)) == before


def test_a_version_that_a_run_has_named_stays_for_as_long_as_the_run_may_wait_for_a_person(
    place: Place,
) -> None:
    house, tomorrow = house_of(place), datetime.now(timezone.utc) + timedelta(hours=30)
    asking_first = house.pipeline.serving.model_copy(update={"approval": Approval(verdicts=("PASS",))})
    patient = replace(house, pipeline=house.pipeline.model_copy(update={"serving": asking_first}))

    gone = plan_housekeeping(house, tomorrow)
    kept = plan_housekeeping(patient, tomorrow)

    assert [one.name for one in gone.versions] == [f"version {number}" for number in (TWO, THREE)]
    assert kept.versions == ()
    assert kept.kept_versions[THREE] == "named by a run that may be going on"


def test_the_command_says_what_stays_and_why(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETRAIN_HOME", str(place.home.parent))
    monkeypatch.setenv("RETRAIN_CLICKS__SERVING__MODEL", place.model)
    monkeypatch.setenv("RETRAIN_CLICKS__SERVING__KEEP_VERSIONS", "2")
    monkeypatch.setenv("RETRAIN_SERVING", place.serving.model_dump_json())
    monkeypatch.setenv("RETRAIN_MLFLOW", json.dumps({"uri": place.mlflow.uri}))
    monkeypatch.setenv("COLUMNS", "200")
    before = files(place)

    assert main(["housekeeping", "--pipeline", "clicks", "--dry-run"]) == 0

    said = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines[0] == "Nothing is to be removed."
    assert f"version {ONE} golden, labelled golden, named by a run that may be going on" in lines
    assert lines[-1] == "0 versions and 0 artifacts would be removed: 0 B"
    assert files(place) == before


def test_a_version_that_is_loaded_goes_under_load_without_a_failed_request(place: Place) -> None:
    assert TWO in loaded(place)
    with asking([Asked(place, "rest"), Asked(place, "grpc")], ["someone"]) as traffic:
        traffic.await_more(ENOUGH)
        housekeep(house_of(place), LATER)
        traffic.await_more(ENOUGH)

    assert traffic.failures == []
    assert {reply.face for reply in traffic.replies} == {"rest", "grpc"}
    assert len({round(reply.score or 0, 5) for reply in traffic.replies}) == 1
    assert place.directories() == [str(number) for number in (ONE, FOUR, FIVE)]
    assert loaded(place) == [ONE, FOUR, FIVE]


def test_models_in_service_stay_with_all_that_they_were_made_from(place: Place) -> None:
    housekeep(house_of(place), LATER)

    for number in (ONE, FOUR, FIVE):
        version = place.records.versions.find(number)
        assert version is not None
        window = place.store.manifest(version.model).identity.inputs["training_window"]
        assert window is not None
        place.store.open(version.model)
        for artifact in place.store.manifest(window).identity.inputs.values():
            assert artifact is not None
            place.store.open(artifact)


def test_a_second_housekeeping_finds_nothing_to_do(place: Place) -> None:
    housekeep(house_of(place), LATER)
    before = files(place)

    _, sweep = housekeep(house_of(place), LATER)

    assert (sweep.removed, sweep.spared) == ([], {})
    assert files(place) == before


def test_the_ways_back_stay_open_and_a_way_that_is_gone_says_so(place: Place) -> None:
    housekeep(house_of(place), LATER)

    for to in ("golden", str(FIVE)):
        done = roll_back(Wish(to, "to see", "a person"), place.records, place.serving, place.mlflow)
        assert place.served() == done.version
    with pytest.raises(Removed, match=f"was removed by housekeeping on .* are there: {FIVE}, {FOUR}, {ONE}"):
        roll_back(Wish(str(TWO), "to see", "a person"), place.records, place.serving, place.mlflow)
    assert place.served() == FIVE


@pytest.fixture(scope="module")
def beside(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The same with a second model server, which has a version that this store knows nothing of."""
    with running_serving(tmp_path_factory.mktemp("second")) as second:
        first = place.serving.models_dir / place.model / str(ONE)
        shutil.copytree(first, second.models_dir / place.model / "1")
        yield replace(place, serving=second)


def test_a_removal_has_no_other_effects_and_unloads_everywhere_before_it_deletes(
    place: Place, beside: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = replace(house_of(place), servers=(place.serving, beside.serving))
    housekeep(house, LATER)
    restage(place, ONE, THREE)
    restage(beside, 1, THREE)
    witness = Witness()
    witness.watch(monkeypatch)

    removed = remove_versions(house.records, house.servers, ())

    assert list(removed) == [THREE]
    assert effects(witness) == [*UNLOAD, *UNLOAD, UNSTAGE, UNSTAGE]


@pytest.mark.parametrize("moment", [UNLOAD[-1], UNSTAGE])
def test_a_housekeeping_that_is_killed_at_the_second_server_is_finished_by_the_next(
    place: Place, beside: Place, moment: str
) -> None:
    house = replace(house_of(place), servers=(place.serving, beside.serving))
    housekeep(house, LATER)
    restage(place, ONE, THREE)
    restage(beside, 1, THREE)

    lost = FORKSERVER.Process(target=housekeep_and_die, args=(house, moment, 2))
    lost.start()
    lost.join()
    assert lost.exitcode == -signal.SIGKILL
    assert place.served() == FIVE
    assert str(THREE) in beside.directories()

    housekeep(house, LATER)
    assert place.directories() == [str(number) for number in (ONE, FOUR, FIVE)]
    assert beside.directories() == ["1"]
    assert THREE not in {*loaded(place), *loaded(beside)}


@pytest.mark.parametrize("moment", DEATHS)
def test_a_housekeeping_that_is_killed_is_finished_by_the_next(place: Place, moment: str) -> None:
    housekeep(house_of(place), LATER)
    restage(place, ONE, THREE)

    lost = FORKSERVER.Process(target=housekeep_and_die, args=(house_of(place), moment))
    lost.start()
    lost.join()
    assert lost.exitcode == -signal.SIGKILL
    assert place.served() == FIVE

    housekeep(house_of(place), LATER)
    assert place.directories() == [str(number) for number in (ONE, FOUR, FIVE)]
    assert THREE not in loaded(place)


def test_what_a_second_server_has_labelled_stays_and_the_rest_goes_from_both(
    place: Place, beside: Place
) -> None:
    housekeep(house_of(place), LATER)
    for version in (TWO, THREE):
        restage(place, ONE, version)
        restage(beside, 1, version)
    with ModelServer(beside.serving, place.model) as server:
        server.apply(server.entry().labelled(THREE, "canary"), 60)

    plan, _ = housekeep(replace(house_of(place), servers=(place.serving, beside.serving)), LATER)

    assert plan.kept_versions[THREE] == "labelled canary"
    assert plan.kept_versions[1] == "not published from this store"
    assert place.directories() == [str(number) for number in (ONE, THREE, FOUR, FIVE)]
    assert beside.directories() == ["1", str(THREE)]
    assert loaded(beside) == [THREE]


def restage(place: Place, source: int, version: int) -> None:
    """Put an old version on the disk once more and have it loaded."""
    directory = place.serving.models_dir / place.model
    shutil.copytree(directory / str(source), directory / f".staging-{version}")
    (directory / f".staging-{version}").rename(directory / str(version))
    load(place, version)


def housekeep_and_die(house: House, moment: str, calls: int = 1) -> None:
    """Keep house in this process, and be killed instead of doing this the so-manieth time."""
    die_instead_of(*moment.rsplit(".", 1), calls=calls)
    housekeep(house, LATER)
