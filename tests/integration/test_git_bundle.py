from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.demo.clicks import Day
from tests.demo.follow import Backfill
from tests.integration.airflow_nights import RECORDS, STEPS, Run, World, running_world

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

REPOSITORY = Path(__file__).parents[2]
BRANCH = "nightly"
DAG = "retrain_clicks"
ARTIFACT_STEPS = [step for step in STEPS if step != "log_to_mlflow"]
LAST = datetime.now(timezone.utc).date() - timedelta(days=1)


class Origin:
    """A clone of this repository that an Airflow follows.

    Args:
        path: where to clone to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(path)], check=True)
        self.git("checkout", "--quiet", "-B", BRANCH)

    @property
    def commit(self) -> str:
        """The newest commit."""
        return self.git("rev-parse", "HEAD")

    def break_landing(self) -> None:
        """Commit code with which no day can be landed, and another seed."""
        with (self.path / "ml" / "landing" / "__init__.py").open("a") as code:
            code.write('\nraise ImportError("this commit is newer than the run")\n')
        settings = self.path / "ml" / "pipelines" / "clicks" / "pipeline.yaml"
        settings.write_text(settings.read_text().replace("seed: 20260101", "seed: 1"))
        self.git("-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qam", "Break landing")

    def git(self, *arguments: str) -> str:
        """What git answers."""
        command = ["git", "-C", str(self.path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    if not (REPOSITORY / ".git").exists():
        pytest.skip(f"{REPOSITORY} is no git repository, so there is nothing to clone")
    return Origin(tmp_path_factory.mktemp("origin") / "repository")


@pytest.fixture(scope="module")
def world(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An Airflow whose one bundle is the repository's branch."""
    home = tmp_path_factory.mktemp("git")
    bundle = {
        "name": "retraining",
        "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
        "kwargs": {"repo_url": str(origin.path), "tracking_ref": BRANCH, "refresh_interval": 1},
    }
    with running_world(home, [Day(LAST, RECORDS, seed=1)], {}, bundles=[bundle]) as world:
        yield world


@pytest.fixture(scope="module")
def pinned(world: World, origin: Origin) -> str:
    """The commit that was the newest when the night was queued."""
    return origin.commit


@pytest.fixture(scope="module")
def night(world: World, origin: Origin, pinned: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A night that was queued before a commit, and run when Airflow knew that commit."""
    backfill = Backfill(DAG, LAST, LAST)
    backfill.create(world.airflow, tmp_path_factory.mktemp("backfill") / "backfill.log")
    origin.break_landing()
    newest = origin.commit
    world.wait_until(lambda: read_dag(world)["bundle_version"] == newest, f"aware of commit {newest}")
    backfill.start(world.airflow)
    return world.runs(DAG)[0].wait()


def read_dag(world: World) -> dict[str, Any]:
    return dict(world.api.get(f"/dags/{DAG}").raise_for_status().json())


def test_the_night_is_run_by_the_code_that_it_was_pinned_to(night: Run, pinned: str) -> None:
    assert night.get()["bundle_version"] == pinned
    assert set(night.states.values()) == {"success"}


def test_every_manifest_names_the_commit(world: World, night: Run, pinned: str) -> None:
    outputs = night.outputs
    made = [outputs[step] for step in ARTIFACT_STEPS]

    assert {world.store.manifest(artifact).code["commit"] for artifact in made} == {pinned}


def test_mlflow_names_the_commit(world: World, night: Run, pinned: str) -> None:
    (logged,) = world.mlflow_runs("clicks")

    assert logged.data.tags["git.commit"] == pinned
    assert logged.data.tags["git.dirty"] == "false"


def test_the_settings_are_those_of_the_commit(world: World, night: Run) -> None:
    manifest = world.store.manifest(night.output("train_candidate"))

    assert manifest.identity.config["training"]["seed"] == 20260101
