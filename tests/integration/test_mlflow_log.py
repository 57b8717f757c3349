from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from ml import release
from ml.artifact import Artifact, Window
from ml.config import Pipeline
from ml.connections import MlflowConnection
from ml.manifest import Identity
from ml.store import Draft, Store
from tests.integration.forking import FORKSERVER
from tests.ml.release.conftest import CONTENTS, produce

pytestmark = pytest.mark.integration

HISTORY = {
    "epochs": [{"epoch": 1, "step": 20, "examples": 200, "loss": 0.5, "auc": 0.7}],
    "curve": [{"step": 10, "loss": 0.6, "auc": 0.6}, {"step": 20, "loss": 0.4, "auc": 0.72}],
}


def model_of(store: Store, window: Window) -> Artifact:
    def write(draft: Draft) -> None:
        (draft.path / "saved_model" / "variables").mkdir(parents=True)
        (draft.path / "saved_model" / "saved_model.pb").write_bytes(b"graph")
        (draft.path / "saved_model" / "variables" / "variables.index").write_bytes(b"weights")
        (draft.path / "measured" / "tensorboard").mkdir(parents=True)
        (draft.path / "measured" / "tensorboard" / "events.out").write_bytes(b"events")
        draft.write_json(HISTORY, "history.json")
        draft.facts.update(examples=200, steps=20, weights_digest="w")

    return store.produce(Identity("model", "clicks", window, {}, {}), write)


@pytest.fixture
def night(store: Store, window: Window) -> release.Night:
    artifacts: dict[str, Artifact | None] = {kind: produce(store, window, kind) for kind in CONTENTS}
    artifacts |= {"model": model_of(store, window), "pushed_model": None}
    return release.Night(
        window, "retrain_clicks/scheduled__2026-03-10T00:00:00+00:00", "http://a/run", artifacts
    )


def only_run(client: MlflowClient, pipeline: Pipeline) -> Run:
    experiment = client.get_experiment_by_name(pipeline.name)
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def files(client: MlflowClient, run_id: str, path: str = "") -> set[str]:
    found: set[str] = set()
    for entry in client.list_artifacts(run_id, path):
        found |= files(client, run_id, entry.path) if entry.is_dir else {entry.path}
    return found


def everything(client: MlflowClient, pipeline: Pipeline) -> dict[str, Any]:
    """All that a logging may change, with how often it was written."""
    run = only_run(client, pipeline)
    points = [client.get_metric_history(run.info.run_id, name) for name in run.data.metrics]
    versions = client.search_model_versions(f"name = '{pipeline.serving.model}'")
    return {
        "run": run.info.run_id,
        "status": run.info.status,
        "params": run.data.params,
        "tags": run.data.tags,
        "points": sorted((p.key, p.step, p.value) for history in points for p in history),
        "files": files(client, run.info.run_id),
        "versions": [(version.version, version.run_id, version.tags) for version in versions],
    }


def test_a_night_is_one_run_with_everything_in_it(
    pipeline: Pipeline, night: release.Night, mlflow: MlflowConnection, store: Store, client: MlflowClient
):
    logged = release.log_to_mlflow(pipeline, night, mlflow, store)

    run = only_run(client, pipeline)
    assert (run.info.run_id, run.info.run_name, run.info.status) == (logged.run_id, "2026-03-10", "FINISHED")
    assert run.data.params["gate.min_gain"] == "0.002"
    assert run.data.metrics["gain.auc"] == pytest.approx(0.73 / 0.72 - 1)
    assert run.data.tags["verdict"] == "PAUSED"
    assert run.data.tags["airflow.url"] == "http://a/run"
    assert run.data.tags["mlflow.note.content"].startswith("## 2026-03-10: PAUSED")
    curve = client.get_metric_history(run.info.run_id, "curve.auc")
    assert [(point.step, point.value) for point in curve] == [(10, 0.6), (20, 0.72)]
    assert {
        "model/saved_model/saved_model.pb",
        "model/saved_model/variables/variables.index",
        "model/tensorboard/events.out",
        "model/manifest.json",
        "evaluation/evaluation.json",
        "drift_report/drift_report.json",
        "plots/roc.png",
        "plots/drift.png",
    } <= files(client, run.info.run_id)


def test_nights_are_found_by_the_promised_names(
    pipeline: Pipeline, night: release.Night, mlflow: MlflowConnection, store: Store, client: MlflowClient
):
    logged = release.log_to_mlflow(pipeline, night, mlflow, store)

    clause = "tags.verdict = 'PAUSED' and metrics.`drift.device` > 0.1 and metrics.`gain.auc` > 0"
    (found,) = client.search_runs([logged.experiment_id], clause, order_by=["metrics.`gain.auc` DESC"])
    assert found.info.run_id == logged.run_id


def test_the_model_is_registered_with_its_digests(
    pipeline: Pipeline, night: release.Night, mlflow: MlflowConnection, store: Store, client: MlflowClient
):
    logged = release.log_to_mlflow(pipeline, night, mlflow, store)

    version = client.get_model_version_by_alias(pipeline.serving.model, "candidate")
    model = night.artifacts["model"]
    assert model is not None
    assert version.version == logged.model_version
    assert version.tags["model.digest"] == model["digest"]
    assert version.tags["weights.digest"] == "w"
    assert version.source == f"runs:/{logged.run_id}/model/saved_model"


def test_logging_again_adds_nothing(
    pipeline: Pipeline, night: release.Night, mlflow: MlflowConnection, store: Store, client: MlflowClient
):
    first = release.log_to_mlflow(pipeline, night, mlflow, store)
    before = everything(client, pipeline)

    assert release.log_to_mlflow(pipeline, night, mlflow, store) == first
    assert everything(client, pipeline) == before


def test_two_processes_that_log_at_once_make_one_run_and_one_version(
    pipeline: Pipeline, night: release.Night, mlflow: MlflowConnection, store: Store, client: MlflowClient
):
    processes = [
        FORKSERVER.Process(target=release.log_to_mlflow, args=(pipeline, night, mlflow, store))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0]
    assert len(everything(client, pipeline)["versions"]) == 1


@pytest.mark.parametrize("method", ["log_batch", "log_artifacts", "create_model_version", "set_terminated"])
def test_a_logging_that_was_killed_is_finished_by_its_retry(
    pipeline: Pipeline,
    night: release.Night,
    mlflow: MlflowConnection,
    store: Store,
    client: MlflowClient,
    method: str,
):
    process = FORKSERVER.Process(target=log_and_die, args=(method, pipeline, night, mlflow, store))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL

    release.log_to_mlflow(pipeline, night, mlflow, store)
    retried = everything(client, pipeline)

    assert retried["status"] == "FINISHED"
    assert len(retried["versions"]) == 1
    assert {"plots/roc.png", "model/saved_model/saved_model.pb"} <= retried["files"]
    assert len(retried["points"]) == len({(name, step) for name, step, _ in retried["points"]})


def log_and_die(
    method: str, pipeline: Pipeline, night: release.Night, mlflow: MlflowConnection, store: Store
) -> None:
    setattr(MlflowClient, method, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    release.log_to_mlflow(pipeline, night, mlflow, store)


def test_a_night_that_stopped_early_is_logged_as_far_as_it_came(
    pipeline: Pipeline, night: release.Night, mlflow: MlflowConnection, store: Store, client: MlflowClient
):
    came_to = {
        "examples": night.artifacts["examples"],
        "anomalies": night.artifacts["anomalies"],
        "model": None,
    }
    stopped = release.Night(night.window, night.key, "", came_to)

    logged = release.log_to_mlflow(pipeline, stopped, mlflow, store)

    run = only_run(client, pipeline)
    assert (run.info.status, logged.model_version) == ("FAILED", "")
    assert run.data.metrics["anomalies.warn"] == 1
    assert "verdict" not in run.data.tags


def test_a_night_that_went_on_is_completed_in_the_same_run(
    pipeline: Pipeline, night: release.Night, mlflow: MlflowConnection, store: Store, client: MlflowClient
):
    stopped = release.Night(night.window, night.key, "", {"examples": night.artifacts["examples"]})
    first = release.log_to_mlflow(pipeline, stopped, mlflow, store)

    second = release.log_to_mlflow(pipeline, night, mlflow, store)

    assert second.run_id == first.run_id
    assert only_run(client, pipeline).info.status == "FINISHED"


def test_settings_that_changed_between_tries_are_told(
    pipeline: Pipeline, night: release.Night, mlflow: MlflowConnection, store: Store, client: MlflowClient
):
    release.log_to_mlflow(pipeline, night, mlflow, store)
    renamed = pipeline.model_copy(update={"owner": "somebody else"})

    release.log_to_mlflow(renamed, night, mlflow, store)

    assert only_run(client, pipeline).data.tags["changed.owner"] == "somebody else"


def test_an_older_night_does_not_take_the_candidate_alias(
    pipeline: Pipeline, night: release.Night, mlflow: MlflowConnection, store: Store, client: MlflowClient
):
    newer = release.log_to_mlflow(pipeline, night, mlflow, store)
    before = Window.parse("2026-03-01T00:00:00+00:00", "2026-03-02T00:00:00+00:00")
    older = release.Night(before, "backfill", "", {"model": model_of(store, before)})

    release.log_to_mlflow(pipeline, older, mlflow, store)

    candidate = client.get_model_version_by_alias(pipeline.serving.model, "candidate")
    assert candidate.version == newer.model_version


def test_the_comparison_page_names_every_run(tmp_path: Path):
    runs = [release.LoggedRun("1", run_id, "", "") for run_id in ("a", "b")]

    url = release.comparison_url(MlflowConnection(uri="http://mlflow:5000/"), runs)

    assert url == (
        "http://mlflow:5000/#/compare-runs?runs=%5B%22a%22%2C%20%22b%22%5D&experiments=%5B%221%22%5D"
    )
