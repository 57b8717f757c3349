from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from filelock import FileLock, Timeout
from mlflow import MlflowClient

from ml.artifact import Artifact
from ml.connections import ServingConnection
from ml.errors import Misconfigured, RetrainingError, Unavailable, Withheld
from ml.release.failures import LoadFailed, WrongAnswers
from ml.release.observer import Observer
from ml.release.server import ModelServer
from ml.release.standing import Sources
from tests.integration.deaths import MOVES, Point, effects, points_of
from tests.integration.forking import FORKSERVER
from tests.integration.publishing import (
    Place,
    day_of,
    push_and_die,
    push_and_die_before,
    push_and_tell,
    push_and_wait,
    resolve_and_die,
    version_of,
)
from tests.integration.release_world import World, aliased, listed, state
from tests.ml.release.mishaps import Witness

pytestmark = pytest.mark.integration

MONDAY, TUESDAY, WEDNESDAY = 2, 3, 4
FIRST, SECOND, THIRD = 20261102001, 20261103001, 20261104001
NAMES = (f"model_{number}" for number in itertools.count())


@pytest.fixture
def place(world: World, tmp_path: Path) -> Place:
    return Place(tmp_path / "store", next(NAMES), world.serving, world.mlflow, world.saved_models)


@pytest.fixture
def registry(world: World) -> MlflowClient:
    return MlflowClient(world.mlflow.uri)


def test_the_first_model_is_served_under_the_label(place: Place, registry: MlflowClient):
    pushed = place.night(MONDAY)

    assert place.served() == FIRST
    assert listed(place) == ((FIRST,), {"stable": FIRST})
    assert place.store.read_json(pushed)["previous"] is None
    assert aliased(registry, place, "production")["serving.version"] == str(FIRST)


def test_the_next_model_takes_over_and_the_one_before_stays_loaded(place: Place, registry: MlflowClient):
    place.night(MONDAY)
    place.night(TUESDAY, "better")
    model = place.train(TUESDAY, "better")

    assert place.served() == SECOND
    assert listed(place) == ((FIRST, SECOND), {"stable": SECOND})
    assert aliased(registry, place, "production")["model.digest"] == model["digest"]
    address = f"{place.serving.rest}/v1/models/{place.model}/versions/{FIRST}"
    assert httpx.get(address).json()["model_version_status"][0]["state"] == "AVAILABLE"


def test_only_the_last_two_versions_stay_loaded_and_all_stay_on_disk(place: Place):
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        place.night(day)

    assert listed(place) == ((SECOND, THIRD), {"stable": THIRD})
    assert place.directories() == [str(FIRST), str(SECOND), str(THIRD)]


def test_warm_up_requests_are_written_from_real_rows(place: Place):
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    place.night(MONDAY)
    path = place.serving.models_dir / place.model / str(FIRST) / "assets.extra" / "tf_serving_warmup_requests"
    records = [PredictionLog.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]

    assert len(records) == place.pipeline.serving.warmup_requests
    assert {record.predict_log.request.model_spec.name for record in records} == {place.model}
    assert {len(record.predict_log.request.inputs) for record in records} == {
        len(place.pipeline.features.names)
    }


def test_golden_answers_are_equal_over_both_faces(place: Place):
    pushed = place.night(MONDAY)

    differences = place.store.manifest(pushed).measurements["golden_differences"]
    assert set(differences) == {"REST", "gRPC"}
    assert max(differences.values()) <= 1e-5


def test_other_models_of_the_server_are_kept(place: Place, world: World, tmp_path: Path):
    place.night(MONDAY)
    other = Place(tmp_path / "other", next(NAMES), world.serving, world.mlflow, world.saved_models)
    other.night(TUESDAY)

    assert place.served() == FIRST
    assert other.served() == SECOND


def test_production_is_what_is_served_with_what_it_was_trained_on(place: Place):
    pushed = place.night(MONDAY)

    production = place.store.read_json(place.resolve(TUESDAY))

    assert production["version"] == FIRST
    assert production["model"] == place.train(MONDAY)
    assert [part["kind"] for part in production["statistics"]] == ["statistics"]
    assert production["watermark"] == "2026-11-03T00:00:00+00:00"
    assert production["pushed_model"] == pushed


def test_without_a_publication_production_is_nothing(place: Place):
    production = place.store.read_json(place.resolve(MONDAY))

    assert production == {
        "version": None,
        "model": None,
        "statistics": [],
        "watermark": None,
        "pushed_model": None,
    }


def test_the_ledger_says_who_has_approved_a_push(place: Place):
    place.push(2, **place.prepare(2), approval="approved by ada at 2026-11-03T07:00:00+00:00")

    said = [line["reason"] for line in place.ledger.entries()]
    assert said == ["approved by ada at 2026-11-03T07:00:00+00:00; for a test"] * 2


def test_pushing_again_touches_nothing(place: Place, registry: MlflowClient):
    prepared = place.prepare(MONDAY)
    pushed = place.push(MONDAY, **prepared)
    before = state(place, registry)

    assert place.push(MONDAY, **prepared) == pushed
    assert state(place, registry) == before


def test_what_is_not_blessed_is_withheld(place: Place):
    prepared = place.prepare(MONDAY, verdict="FAIL")

    with pytest.raises(Withheld, match="FAIL: for a test"):
        place.push(MONDAY, **prepared)
    assert (place.served(), place.directories()) == (None, [])


def test_a_backfilled_older_day_is_stale(place: Place):
    place.night(TUESDAY)
    older = place.prepare(MONDAY)

    with pytest.raises(Withheld, match="STALE"):
        place.push(MONDAY, **older)
    assert place.served() == SECOND


def test_a_model_that_was_judged_against_what_is_no_longer_served_is_withheld(place: Place):
    place.night(MONDAY)
    slow = place.prepare(WEDNESDAY)
    place.night(TUESDAY)

    changed = f"judged against version {FIRST}, but now version {SECOND} is served"
    with pytest.raises(Withheld, match=f"{changed}.* --day 2026-11-04 --refresh-production"):
        place.push(WEDNESDAY, **slow)
    assert place.served() == SECOND


def test_a_model_that_cannot_be_loaded_is_taken_back(place: Place, registry: MlflowClient):
    place.night(MONDAY)
    before = state(place, registry) | {"registered": None}
    broken = place.prepare(TUESDAY, "broken")

    with pytest.raises(LoadFailed, match=f"could not load version {SECOND}"):
        place.push(TUESDAY, **broken)
    assert state(place, registry) | {"registered": None} == before


def test_a_first_model_that_cannot_be_loaded_leaves_no_entry(place: Place):
    broken = place.prepare(MONDAY, "broken")

    with pytest.raises(RetrainingError, match=str(FIRST)):
        place.push(MONDAY, **broken)
    assert (place.served(), listed(place), place.directories()) == (None, ((), {}), [])


def test_a_model_that_answers_otherwise_than_offline_is_taken_back(place: Place, registry: MlflowClient):
    place.night(MONDAY)
    before = state(place, registry) | {"registered": None}
    fickle = place.prepare(TUESDAY, "fickle")

    with pytest.raises(WrongAnswers, match="REST differs by"):
        place.push(TUESDAY, **fickle)
    assert state(place, registry) | {"registered": None} == before


def test_a_model_that_was_not_logged_is_not_published(place: Place):
    production = place.resolve(MONDAY)
    model = place.train(MONDAY)
    blessing = place.bless(MONDAY, model, production)

    with pytest.raises(Misconfigured, match="run log_to_mlflow"):
        place.push(MONDAY, model, blessing, production)
    assert (place.served(), place.directories()) == (None, [])


def point_alias_at(place: Place, registry: MlflowClient, served_as: int) -> None:
    """Move ``production`` as somebody may by hand in MLflow."""
    versions = registry.search_model_versions(f"name = '{place.model}'")
    found = next(version for version in versions if version.tags["serving.version"] == str(served_as))
    registry.set_registered_model_alias(place.model, "production", found.version)


def test_a_label_that_a_stranger_moved_is_an_error_that_names_both(place: Place, registry: MlflowClient):
    place.night(MONDAY)
    place.night(TUESDAY)
    point_alias_at(place, registry, FIRST)

    with pytest.raises(Misconfigured, match=rf"names version {SECOND} .* names model [0-9a-f]{{12}};"):
        place.resolve(WEDNESDAY)


def test_a_stranger_who_moved_both_label_and_alias_is_found_by_the_ledger(
    place: Place, registry: MlflowClient
):
    place.night(MONDAY)
    place.night(TUESDAY)
    point_alias_at(place, registry, FIRST)
    with ModelServer(place.serving, place.model) as server:
        server.apply(server.entry().labelled(FIRST, place.pipeline.serving.label), 60)
    assert place.served() == FIRST

    with pytest.raises(Misconfigured, match=rf"according to .* is {SECOND}\. .* `python -m ml reconcile"):
        place.resolve(WEDNESDAY)


def test_a_version_of_another_store_is_an_error(place: Place, world: World, tmp_path: Path):
    place.night(MONDAY)
    stranger = Place(tmp_path / "stranger", place.model, world.serving, world.mlflow, world.saved_models)

    with pytest.raises(Misconfigured, match=f"names version {FIRST} .* never published from"):
        stranger.resolve(TUESDAY)


@pytest.fixture(scope="module")
def undisturbed(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The state after two pushes that nothing happened to."""
    home = tmp_path_factory.mktemp("calm")
    calm = Place(home, next(NAMES), world.serving, world.mlflow, world.saved_models)
    calm.night(MONDAY)
    calm.night(TUESDAY, "better")
    return state(calm, MlflowClient(world.mlflow.uri))


def die(place: Place, day: int, prepared: dict[str, Artifact], after: str) -> None:
    kill(push_and_die, place, day, prepared, after)


def kill(target: Callable[..., None], *arguments: Any) -> None:
    """Run in a process what must end it by SIGKILL."""
    process = FORKSERVER.Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_the_points_are_all_effects_that_a_push_has(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.night(MONDAY)
    prepared = place.prepare(TUESDAY, "better")
    witness = Witness()
    witness.watch(monkeypatch)

    place.push(TUESDAY, **prepared)

    assert effects(witness) == list(MOVES["push"])


@dataclass
class Nights:
    """A pipeline that pushes another version every night; the first one serves."""

    place: Place
    days: Iterator[int] = field(default_factory=lambda: itertools.count(TUESDAY))


@pytest.fixture(scope="module")
def nights(world: World, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    home = tmp_path_factory.mktemp("nights") / "store"
    place = Place(home, next(NAMES), world.serving, world.mlflow, world.saved_models)
    place.night(MONDAY)
    return Nights(place)


def after_night(place: Place, day: int, model: Artifact) -> dict[str, Any]:
    """The state after a push that nothing happened to, as far as it concerns this night."""
    number = version_of(day)
    return {
        "served": number,
        "config": ((version_of(day - 1), number), {"stable": number}),
        "directories": [str(version_of(earlier)) for earlier in range(MONDAY, day + 1)],
        "production": model["digest"],
        "registered": (str(day - 1), str(number)),
        "ledger": [("moving", number), ("moved", number)],
    }


@pytest.mark.parametrize("point", points_of("push"), ids=str)
def test_a_push_that_was_killed_is_finished_by_its_retry(
    nights: Nights, registry: MlflowClient, point: Point
):
    place, day = nights.place, next(nights.days)
    lines, prepared = len(place.ledger.entries()), place.prepare(day, "better" if day % 2 else "good")

    kill(push_and_die_before, place, day, prepared, point.effect, point.call)
    assert place.served() in (version_of(day - 1), version_of(day))
    place.push(day, **prepared)

    found = state(place, registry)
    added = [(entry["event"], entry["to"]) for entry in found["ledger"][lines:]]
    last = max(found["registered"], key=lambda registered: int(registered[0]))
    assert found | {"registered": last, "ledger": added} == after_night(place, day, prepared["model"])


@pytest.mark.parametrize("death", ["load", "announce", "move_label", "move_alias"])
def test_a_push_that_was_killed_and_never_retried_is_no_obstacle_to_the_next_night(
    place: Place, registry: MlflowClient, death: str
):
    place.night(MONDAY)
    die(place, TUESDAY, place.prepare(TUESDAY), death)
    served = place.served()

    assert place.store.read_json(place.resolve(WEDNESDAY))["version"] == served
    pushed = place.night(WEDNESDAY)

    assert place.served() == THIRD
    assert listed(place) == ((served, THIRD), {"stable": THIRD})
    assert place.store.read_json(pushed)["previous"] == served
    assert aliased(registry, place, "production")["serving.version"] == str(THIRD)


def test_the_previous_version_answers_throughout(place: Place):
    """A user asks all the time while a broken, a fickle and a good model are pushed."""
    place.night(MONDAY)
    asking = FORKSERVER.Event()
    failures = FORKSERVER.Queue()
    user = FORKSERVER.Process(target=ask_until, args=(place, asking, failures))
    user.start()
    for saved_model in ("broken", "fickle"):
        prepared = place.prepare(TUESDAY, saved_model)
        with pytest.raises(RetrainingError):
            place.push(TUESDAY, **prepared)
    place.night(WEDNESDAY, "better")
    asking.set()

    answered, refused = failures.get(timeout=60)
    user.join()
    assert refused == []
    assert answered > 0


def ask_until(place: Place, done: Any, report: Any) -> None:
    answered, refused = 0, []
    address = f"{place.serving.rest}/v1/models/{place.model}/labels/stable/metadata"
    with httpx.Client(timeout=30) as client:
        while not done.is_set():
            answer = client.get(address)
            answered += answer.is_success
            if not answer.is_success:
                refused.append(answer.text)
    report.put((answered, refused))


def test_a_model_server_that_is_down_is_unavailable_and_nothing_is_changed(place: Place):
    prepared = place.prepare(MONDAY)
    down = ServingConnection(
        **{**place.serving.model_dump(), "rest": "http://127.0.0.1:9", "grpc": "127.0.0.1:9"}
    )
    unreachable = Place(place.home, place.model, down, place.mlflow, place.saved_models)

    with pytest.raises(Unavailable, match="Is it running"):
        unreachable.push(MONDAY, **prepared)
    assert place.directories() == []


def test_the_metrics_tell_what_serves_what_is_registered_and_what_the_gate_said(place: Place) -> None:
    place.night(MONDAY)
    with pytest.raises(Withheld):
        place.night(TUESDAY, "better", verdict="FAIL")

    sources = Sources(place.store, place.serving, place.mlflow)
    samples = Observer([place.pipeline], sources).observe(day_of(TUESDAY).end + timedelta(hours=7))
    seen = {(sample.name, *sample.labels): sample.value for _, sample in samples}

    assert seen["retraining_served_version",] == seen["retraining_registry_version",] == FIRST
    assert seen["retraining_served_watermark_timestamp_seconds",] == day_of(MONDAY).end.timestamp()
    assert seen["retraining_blocked_nights",] == 1
    assert seen["retraining_verdict_info", "2026-11-03", "FAIL"] == 1
    assert seen["retraining_last_published_timestamp_seconds",] > day_of(MONDAY).start.timestamp()
    assert all(seen["retraining_source_up", source] == 1 for source in ("store", "model-server", "registry"))


@pytest.mark.parametrize("death", ["taking the config back", "taking the directory away"])
def test_a_withdrawal_that_was_killed_is_finished_by_the_next_try(
    place: Place, registry: MlflowClient, death: str
):
    place.night(MONDAY)
    before = state(place, registry) | {"registered": None}
    fickle = place.prepare(TUESDAY, "fickle")

    die(place, TUESDAY, fickle, death)
    assert place.served() == FIRST
    with pytest.raises(WrongAnswers):
        place.push(TUESDAY, **fickle)

    assert state(place, registry) | {"registered": None} == before


@pytest.mark.parametrize(
    "death", ["mlflow.MlflowClient.set_registered_model_alias", "ml.release.ledger.Ledger.finish"]
)
def test_whoever_dies_while_finishing_a_lost_push_leaves_it_to_the_next(
    place: Place, registry: MlflowClient, undisturbed: dict[str, Any], death: str
):
    place.night(MONDAY)
    prepared = place.prepare(TUESDAY, "better")
    die(place, TUESDAY, prepared, "move_label")
    resolving = FORKSERVER.Process(target=resolve_and_die, args=(place, WEDNESDAY, death))
    resolving.start()
    resolving.join()
    assert resolving.exitcode == -signal.SIGKILL

    assert place.store.read_json(place.resolve(WEDNESDAY))["version"] == SECOND
    place.push(TUESDAY, **prepared)

    assert state(place, registry) == undisturbed


def push_together(place: Place, *pushes: tuple[int, dict[str, Artifact]]) -> list[tuple[int, str | None]]:
    """Push from as many processes at once: each day, and what withheld it or None."""
    together, told = FORKSERVER.Barrier(len(pushes)), FORKSERVER.Queue()
    pushing = [
        FORKSERVER.Process(target=push_and_tell, args=(place, day, prepared, together, told))
        for day, prepared in pushes
    ]
    for process in pushing:
        process.start()
    answers = [told.get(timeout=120) for _ in pushes]
    for process in pushing:
        process.join()
    return answers


def test_of_two_publications_at_once_one_wins_and_the_other_names_it(place: Place, registry: MlflowClient):
    place.night(MONDAY)
    tuesday, wednesday = place.prepare(TUESDAY), place.prepare(WEDNESDAY)

    withheld = dict(push_together(place, (TUESDAY, tuesday), (WEDNESDAY, wednesday)))

    assert sorted(withheld) == [TUESDAY, WEDNESDAY]
    (loser,) = [day for day in withheld if withheld[day]]
    winner = THIRD if loser == TUESDAY else SECOND
    assert f"judged against version {FIRST}, but now version {winner} is served" in str(withheld[loser])
    assert place.served() == winner == place.ledger.last_served
    assert aliased(registry, place, "production")["serving.version"] == str(winner)
    assert place.directories() == [str(FIRST), str(winner)]


def test_a_push_whose_lost_try_still_runs_moves_the_label_once(place: Place):
    """Airflow takes a task for lost whose worker only went silent, and tries it again beside it."""
    place.night(MONDAY)
    prepared = place.prepare(TUESDAY)

    withheld = push_together(place, (TUESDAY, prepared), (TUESDAY, prepared))

    assert withheld == [(TUESDAY, None), (TUESDAY, None)]
    moves = [entry["to"] for entry in place.ledger.entries() if entry["event"] == "moved"]
    assert moves == [FIRST, SECOND]


def test_the_lock_of_a_killed_holder_is_free(place: Place):
    place.night(MONDAY)
    held, next_night = place.prepare(TUESDAY), place.prepare(WEDNESDAY)
    here, there = FORKSERVER.Pipe(duplex=False)
    holder = FORKSERVER.Process(target=push_and_wait, args=(place, TUESDAY, held, there))
    holder.start()
    here.recv()
    (path,) = place.store.root.glob(".locks/release*")
    with pytest.raises(Timeout):
        FileLock(path, timeout=0).acquire()

    holder.kill()
    holder.join()
    place.push(WEDNESDAY, **next_night)

    assert place.served() == THIRD
