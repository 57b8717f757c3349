"""Each step is killed in its middle and tried again: nothing shows that it ever was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ml.release.registry import LINE
from ml.release.server import ModelServer
from tests.demo.clicks import Day
from tests.demo.produce import create_topic, produce
from tests.demo.stack import Services
from tests.integration.midway import Moment, kill_at
from tests.integration.walking import SMALL, World, digests, opened_world

pytestmark = pytest.mark.integration

CLICKS = Path(__file__).parents[2] / "ml" / "pipelines" / "clicks"
RECORDS = 6_000
YESTERDAY, TODAY = date(2026, 11, 9), date(2026, 11, 10)
MOMENTS = [
    Moment("resolve_production", "ml.release.production.Records.settle"),
    Moment("land_examples", "ml.landing.files.ParquetFiles.write", call=3),
    Moment("compute_statistics", "ml.validation.statistics.write_counts"),
    Moment("validate_examples", "ml.validation.tfdv.validate_statistics", call=2),
    Moment("measure_drift", "ml.validation.drift.compare_days"),
    Moment("gather_window", "ml.steps.data.validate_examples"),  # of the day before
    Moment("train_candidate", "ml.training.launcher.log.info"),  # the chief's first line
    Moment("evaluate_candidate", "pyarrow.parquet.write_table"),
    Moment("decide_blessing", "ml.store.sync_tree"),
    Moment("log_to_mlflow", "mlflow.MlflowClient.create_model_version"),
    Moment("push_model", "ml.release.registry.Registry.follow"),  # the label has moved, the alias has not
]


@dataclass(frozen=True)
class Undisturbed:
    """A night that nothing happened to.

    Attributes:
        homes: step → RETRAIN_HOME as it was before the step.
        came_of: step → what it returned.
        traces: step → what there was after it.
    """

    homes: dict[str, Path]
    came_of: dict[str, Any]
    traces: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def world(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The clicks under another name: what is said of this model and its runs concerns no other test."""
    pipelines, home = tmp_path_factory.mktemp("pipelines"), tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(CLICKS, pipelines / "killed")
    settings = {
        **SMALL,
        "RETRAIN_PIPELINES": str(pipelines),
        "RETRAIN_KILLED__LANDING__TOPIC": "killed",
        "RETRAIN_KILLED__SERVING__MODEL": "killed",
        "RETRAIN_KILLED__TRAINING__EPOCHS": "1",
    }
    create_topic(services.bootstrap, "killed", partitions=3)
    for seed, day in enumerate((YESTERDAY, TODAY)):
        produce(Day(day, RECORDS, seed), services.bootstrap, "killed", partitions=3)
    with opened_world("killed", home, services, settings) as world:
        yield world


@pytest.fixture(scope="module")
def undisturbed(world: World, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    night = Undisturbed({}, {}, {})
    homes, walk = tmp_path_factory.mktemp("homes"), world.walk(TODAY)
    for step in (moment.step for moment in MOMENTS):
        night.homes[step] = Path(shutil.copytree(world.home, homes / step))
        night.came_of[step] = getattr(walk, step)
        night.traces[step] = traces(world)
    return night


def traces(world: World) -> dict[str, Any]:
    """All that a night has left behind so far, but for clocks and what MLflow deals out by chance."""
    state = world.state()
    return {
        "artifacts": digests(world.store),
        "half-written": sorted(world.store.root.rglob("*.partial")),
        **{part: state[part] for part in ("served", "model server", "model server's directory")},
        "runs": [
            (
                run["status"],
                run["params"],
                run["tags"],
                run["metrics"].keys(),
                [name for name, _ in run["files"]],
            )
            for run in state["runs"]
        ],
        "registered": [
            (version, aliases, {name: value for name, value in tags.items() if name != LINE})
            for version, _, aliases, tags in state["registered"]
        ],
    }


def forget(world: World) -> None:
    """Let model server and MLflow be as before the first night."""
    model = world.pipeline.serving.model
    with ModelServer(world.serving, model) as server:
        server.apply(replace(server.entry(), versions=(), labels={}), seconds=60)
    shutil.rmtree(world.services.models / model, ignore_errors=True)
    for run in world.runs():
        world.mlflow.delete_run(run["id"])
    for registered in world.mlflow.search_registered_models(f"name = '{model}'"):
        world.mlflow.delete_registered_model(registered.name)


@pytest.fixture
def moment(request: pytest.FixtureRequest) -> Moment:
    moment: Moment = request.param
    return moment


@pytest.fixture
def disturbed(
    world: World, undisturbed: Undisturbed, moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> World:
    """The world right before the step, in the store that was kept of that time."""
    forget(world)
    home = undisturbed.homes[moment.step]
    monkeypatch.setenv("RETRAIN_HOME", str(home))
    disturbed = replace(world, home=home)
    if moment.step == "push_model":
        assert disturbed.walk(TODAY).log_to_mlflow
    return disturbed


def without_run_id(came_of: dict[str, Any]) -> dict[str, Any]:
    """What a step returned; MLflow names a run by chance."""
    return {key: value for key, value in came_of.items() if key not in ("run_id", "url")}


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.step, indirect=True)
def test_a_step_that_was_killed_is_done_by_its_retry(
    disturbed: World, undisturbed: Undisturbed, moment: Moment
) -> None:
    started = kill_at(moment, disturbed.name, TODAY)
    assert started == (1 if moment.step == "train_candidate" else 0)
    assert traces(disturbed) != undisturbed.traces[moment.step]

    came_of = getattr(disturbed.walk(TODAY), moment.step)

    assert without_run_id(came_of) == without_run_id(undisturbed.came_of[moment.step])
    assert traces(disturbed) == undisturbed.traces[moment.step]
