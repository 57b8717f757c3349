"""Nights that are run again, and the MLflow run of a backfill, on a real MLflow server."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from ml import release
from ml.artifact import Artifact, Window
from ml.config import Pipeline
from ml.connections import MlflowConnection
from ml.errors import Misconfigured
from ml.manifest import Identity
from ml.store import Draft, Store
from ml.what_if import WhatIf
from tests.ml.release.conftest import CONTENTS, section, write_scores

pytestmark = pytest.mark.integration

DAYS = [f"2026-03-{day:02d}" for day in range(10, 13)]
WHAT_IF = WhatIf("more-epochs", {"training.epochs": 4})
PARENT = "mlflow.parentRunId"


class Loop:
    """Logs nights as the loop does, without the work that leads to them."""

    def __init__(self, pipeline: Pipeline, mlflow: MlflowConnection, store: Store) -> None:
        self.pipeline, self.mlflow, self.store = pipeline, mlflow, store

    def log(self, day: str, auc: float, what_if: WhatIf | None = None) -> release.LoggedRun:
        window = Window.of_day(date.fromisoformat(day), "UTC")
        made = {
            "examples": self._produce("examples", window, None, 0),
            "model": self._produce("model", window, None, auc),
            "evaluation": self._produce(
                "evaluation", window, {**CONTENTS["evaluation"], "overall": section(2000, auc, 0.72)}, auc
            ),
            "blessing": self._produce("blessing", window, CONTENTS["blessing"], auc),
        }
        night = release.Night(window, f"cli/clicks/{day}", "", made, what_if)
        return release.log_to_mlflow(self.pipeline, night, self.mlflow, self.store)

    def report(self, **changed: Any) -> release.ReportedBackfill:
        nights = [f"cli/clicks/{day}" for day in DAYS]
        backfill = release.Backfill(**{"key": "cli/1", "nights": nights, **changed})
        return release.report_backfill(self.pipeline, backfill, self.mlflow, self.store)

    def _produce(self, kind: str, window: Window, content: Any, content_number: float) -> Artifact:
        def write(draft: Draft) -> None:
            if kind == "model":
                (draft.path / "saved_model").mkdir()
                (draft.path / "saved_model" / "saved_model.pb").write_text(str(content_number))
            if kind == "evaluation":
                write_scores(draft)
            if content is not None:
                draft.write_json(content)

        identity = Identity(kind, "clicks", window, {}, {"number": content_number})
        return self.store.produce(identity, write)


@pytest.fixture
def loop(pipeline: Pipeline, mlflow: MlflowConnection, store: Store) -> Loop:
    return Loop(pipeline, mlflow, store)


def runs(client: MlflowClient, pipeline: Pipeline, kind: str) -> list[Run]:
    experiment = client.get_experiment_by_name(pipeline.name)
    return list(client.search_runs([experiment.experiment_id], f"tags.`retraining.kind` = '{kind}'"))


def read(client: MlflowClient, run_id: str, name: str, directory: Path) -> Any:
    return json.loads(Path(client.download_artifacts(run_id, name, str(directory))).read_bytes())


def table(client: MlflowClient, run: Run, directory: Path) -> dict[str, dict[str, Any]]:
    content = read(client, run.info.run_id, "backfill.json", directory)
    rows = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    return {row["day"]: row for row in rows}


def test_a_night_that_came_to_something_else_shows_both_tries(
    loop: Loop, pipeline: Pipeline, client: MlflowClient, tmp_path: Path
) -> None:
    first = loop.log(DAYS[0], 0.73)
    loop.log(DAYS[0], 0.74)

    (run,) = runs(client, pipeline, "night")
    points = client.get_metric_history(run.info.run_id, "candidate.auc")
    tries = read(client, run.info.run_id, "tries.json", tmp_path)
    assert [(point.step, point.value) for point in points] == [(1, 0.73), (2, 0.74)]
    assert run.data.metrics["candidate.auc"] == 0.74
    assert [each["metrics"]["candidate.auc"] for each in tries] == [0.73, 0.74]
    assert run.data.tags["retraining.tries"] == "2"
    assert "### 2 tries" in run.data.tags["mlflow.note.content"]
    version = client.get_model_version(pipeline.serving.model, first.model_version)
    assert read_text(client, run, "model/saved_model/saved_model.pb", tmp_path) == "0.73"
    assert version.source.endswith("/model/saved_model")


def read_text(client: MlflowClient, run: Run, name: str, directory: Path) -> str:
    return Path(client.download_artifacts(run.info.run_id, name, str(directory))).read_text()


def test_each_registered_version_keeps_the_bytes_that_it_was_registered_with(
    loop: Loop, pipeline: Pipeline, client: MlflowClient, tmp_path: Path
) -> None:
    logged = [loop.log(DAYS[0], auc) for auc in (0.73, 0.74)]

    (run,) = runs(client, pipeline, "night")
    versions = [client.get_model_version(pipeline.serving.model, each.model_version) for each in logged]
    places = [version.source.removeprefix(f"runs:/{run.info.run_id}/") for version in versions]
    assert places == ["model/saved_model", "tries/2/model/saved_model"]
    assert [read_text(client, run, f"{place}/saved_model.pb", tmp_path) for place in places] == [
        "0.73",
        "0.74",
    ]


def test_a_what_if_has_a_run_of_its_own_and_registers_nothing(
    loop: Loop, pipeline: Pipeline, client: MlflowClient
) -> None:
    night = loop.log(DAYS[0], 0.73)

    tried = loop.log(DAYS[0], 0.75, WHAT_IF)

    (run,) = runs(client, pipeline, "what-if")
    assert (run.info.run_id, tried.model_version) == (tried.run_id, "")
    assert run.data.tags["retraining.what_if"] == "more-epochs"
    assert run.info.run_name == f"{DAYS[0]} what-if more-epochs"
    assert client.get_run(night.run_id).data.metrics["candidate.auc"] == 0.73
    assert len(client.search_model_versions(f"name = '{pipeline.serving.model}'")) == 1


def test_a_what_if_backfill_is_compared_with_the_nights_of_the_loop(
    loop: Loop, pipeline: Pipeline, client: MlflowClient, tmp_path: Path
) -> None:
    for day in DAYS[:2]:
        loop.log(day, 0.73)
    replayed = [loop.log(day, auc, WHAT_IF) for day, auc in zip(DAYS, (0.74, 0.72), strict=False)]

    reported = loop.report(what_if=WHAT_IF.name)

    (parent,) = runs(client, pipeline, "backfill")
    rows = table(client, parent, tmp_path)
    assert [rows[day]["outcome"] for day in DAYS] == ["changed", "changed", "missing"]
    assert [rows[day]["difference auc"] for day in DAYS] == [pytest.approx(0.01), pytest.approx(-0.01), None]
    assert rows[DAYS[0]]["same examples"] is True
    assert "3 nights: 2 changed, 1 missing" in reported.summary
    assert "better on 1, worse on 1" in reported.summary
    assert f"/runs/{parent.info.run_id}?" in reported.url
    assert {client.get_run(each.run_id).data.tags[PARENT] for each in replayed} == {parent.info.run_id}
    assert all(PARENT not in run.data.tags for run in runs(client, pipeline, "night"))
    plots = [entry.path for entry in client.list_artifacts(parent.info.run_id, "plots")]
    assert plots == ["plots/original_and_replay.png"]


def test_a_repeated_night_is_compared_with_its_try_from_before_the_backfill(
    loop: Loop, pipeline: Pipeline, client: MlflowClient, tmp_path: Path
) -> None:
    for day in DAYS:
        loop.log(day, 0.73)
    loop.log(DAYS[0], 0.74)

    loop.report(key="after", started_at="2100-01-01T00:00:00+00:00")
    (parent,) = runs(client, pipeline, "backfill")
    assert {row["outcome"] for row in table(client, parent, tmp_path).values()} == {"same"}

    loop.report(key="of unknown beginning")
    parent = next(run for run in runs(client, pipeline, "backfill") if "unknown" in run.info.run_name)
    rows = table(client, parent, tmp_path)
    assert (rows[DAYS[0]]["original auc"], rows[DAYS[0]]["replay auc"]) == (0.73, 0.74)
    assert [rows[day]["outcome"] for day in DAYS] == ["changed", "new", "new"]


def test_reporting_again_changes_nothing(loop: Loop, pipeline: Pipeline, client: MlflowClient) -> None:
    loop.log(DAYS[0], 0.73)
    first = loop.report()
    (before,) = runs(client, pipeline, "backfill")

    assert loop.report() == first
    (after,) = runs(client, pipeline, "backfill")
    assert after.to_dictionary() == before.to_dictionary()


def test_a_backfill_that_goes_on_began_when_it_began_first(
    loop: Loop, pipeline: Pipeline, client: MlflowClient, tmp_path: Path
) -> None:
    loop.report(started_at="2020-01-01T00:00:00+00:00")
    loop.log(DAYS[0], 0.73)

    loop.report(started_at="2100-01-01T00:00:00+00:00")
    (parent,) = runs(client, pipeline, "backfill")
    assert table(client, parent, tmp_path)[DAYS[0]]["outcome"] == "new"


def test_a_night_belongs_to_the_newest_backfill_that_ran_it(
    loop: Loop, pipeline: Pipeline, client: MlflowClient
) -> None:
    night = loop.log(DAYS[0], 0.73)
    loop.report(key="airflow/2", started_at="2026-04-02T00:00:00+00:00")

    loop.report(key="airflow/1", started_at="2026-04-01T00:00:00+00:00")
    parent = client.get_run(client.get_run(night.run_id).data.tags[PARENT])
    assert parent.data.tags["retraining.backfill"] == "airflow/2"

    loop.report(key="airflow/3", started_at="2026-04-03T00:00:00+00:00")
    parent = client.get_run(client.get_run(night.run_id).data.tags[PARENT])
    assert parent.data.tags["retraining.backfill"] == "airflow/3"


def test_a_night_that_failed_is_missing_though_it_was_logged_once(
    loop: Loop, pipeline: Pipeline, client: MlflowClient, tmp_path: Path
) -> None:
    loop.log(DAYS[0], 0.73)

    loop.report(failed={f"cli/clicks/{DAYS[0]}": "Unavailable: no broker answered"})

    (parent,) = runs(client, pipeline, "backfill")
    row = table(client, parent, tmp_path)[DAYS[0]]
    assert (row["outcome"], row["missing"]) == ("missing", "Unavailable: no broker answered")


def test_a_backfill_that_nobody_reported_names_those_that_were(
    pipeline: Pipeline, mlflow: MlflowConnection
) -> None:
    with pytest.raises(Misconfigured, match="none was reported yet"):
        release.read_backfill(pipeline, "airflow/9", mlflow)


def test_a_reported_backfill_can_be_read_back(
    loop: Loop, pipeline: Pipeline, mlflow: MlflowConnection
) -> None:
    loop.report(what_if="more-epochs")

    found = release.read_backfill(pipeline, "cli/1", mlflow)
    assert (found.what_if, len(found.nights)) == ("more-epochs", 3)
