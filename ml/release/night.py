"""A night's run in MLflow: everything that was found out, under names that can be compared."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ml.artifact import Artifact, Window, digest_of
from ml.config import Pipeline
from ml.connections import MlflowConnection
from ml.release.findings import Findings
from ml.release.run_labels import run_key_of
from ml.release.tries import FILE as TRIES_FILE
from ml.release.tries import TRIES, Try, add_try, own_place, stale_tags
from ml.store import Store
from ml.what_if import WhatIf

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ml.release.run_log import RunLog

# The files of each kind that are worth having beside the run. Rejects are not: they hold records as they
# came, and may hold what nobody should read in a browser.
UPLOADED = {
    "examples": ("measured/offsets.json",),
    "statistics": ("statistics.html", "statistics.pb"),
    "anomalies": ("anomalies.json", "*.pbtxt"),
    "drift_report": ("drift_report.json",),
    "training_window": ("training_window.json",),
    "model": ("saved_model", "feature_spec.json", "history.json", "measured/tensorboard"),
    "production": ("production.json",),
    "evaluation": ("evaluation.json", "scores.parquet"),
    "blessing": ("blessing.json",),
    "pushed_model": ("pushed_model.json",),
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Night:
    """One DAG run, or one run of the command line, over one day.

    Attributes:
        window: the day.
        key: names the run for ever, for example ``retrain_clicks/scheduled__2026-11-20``.
        url: its page in Airflow; empty if it has none.
        artifacts: by role; None for what it did not come to.
        what_if: what was tried; None for a night of the loop.
    """

    window: Window
    key: str
    url: str
    artifacts: Mapping[str, Artifact | None]
    what_if: WhatIf | None = None


@dataclass(frozen=True)
class LoggedRun:
    """Where a night was logged.

    Attributes:
        experiment_id: of its experiment, which is named as the pipeline is.
        run_id: of its run.
        url: the run's page.
        model_version: of the registered model; empty if there is no candidate.
    """

    experiment_id: str
    run_id: str
    url: str
    model_version: str


def log_to_mlflow(pipeline: Pipeline, night: Night, mlflow: MlflowConnection, store: Store) -> LoggedRun:
    """Write everything that a night has left behind into one MLflow run, whatever it came to.

    The run is found again by its key and a model's registered version by its digest, so a second logging
    adds what is new and makes no twin. A night that came to something else than before is another try in the
    same run. A what-if has a run of its own and no registered version. Names are listed in docs/mlflow.md.

    Raises:
        Unavailable: if MLflow does not answer.
        Misconfigured: if it refuses the credentials, or the experiment was deleted.
        StoreCorrupted: if an artifact's bytes are not those that were written.
    """
    from ml.release.run_log import RunLog
    from ml.release.tracking import open_mlflow

    findings = Findings.read(store, night.artifacts)
    with store.lock(f"{pipeline.name}/release/mlflow"), open_mlflow(mlflow) as client:
        key = run_key_of(night.key, night.what_if.name if night.what_if else "")
        run = RunLog(client, pipeline.name, key, pipeline.name_of(night.window))
        tries = _write(pipeline, night, findings, run)
        version = "" if night.what_if else _register(pipeline, night, findings, client, run, tries)
        run.end("FINISHED" if "blessing" in findings.artifacts else "FAILED")
    url = mlflow.run_page(run.experiment_id, run.run_id)
    log.info("the night is at %s", url)
    return LoggedRun(run.experiment_id, run.run_id, url, version)


def comparison_url(mlflow: MlflowConnection, runs: Sequence[LoggedRun]) -> str:
    """The page on which MLflow compares some nights side by side."""
    identifiers = json.dumps([run.run_id for run in runs])
    experiments = json.dumps(sorted({run.experiment_id for run in runs}))
    return f"{mlflow.page}/#/compare-runs?runs={quote(identifiers)}&experiments={quote(experiments)}"


def _write(pipeline: Pipeline, night: Night, findings: Findings, run: RunLog) -> list[Try]:
    from ml.release.note import note_of
    from ml.release.run_labels import params_of, tags_of, what_if_tags
    from ml.release.run_metrics import curves_of, metrics_of

    metrics = metrics_of(findings)
    tries = _write_tries(findings, metrics, run)
    tags = {
        **tags_of(pipeline, night.window, findings),
        **what_if_tags(pipeline, night.window, night.what_if),
        "mlflow.note.content": note_of(pipeline, night.window, findings, tries, night.what_if),
        "mlflow.source.name": night.key,
        "mlflow.source.type": "JOB",
    }
    run.log_params(params_of(pipeline, night.window, findings))
    run.log_metrics(metrics, curves_of(findings), step=len(tries))
    run.drop_tags(stale_tags(run.tags, tags, tries))
    run.log_tags({**tags, "airflow.url": night.url} if night.url else tags)
    _upload(pipeline, findings, run, tries)
    return tries


def _write_tries(findings: Findings, metrics: Mapping[str, float], run: RunLog) -> list[Try]:
    known = run.read_json(TRIES_FILE) if TRIES in run.tags else []
    tries = add_try(known, findings, metrics, datetime.now(timezone.utc).isoformat(timespec="seconds"))
    if tries != known:
        run.write_json(TRIES_FILE, tries)
    run.log_tags({TRIES: str(len(tries))})
    return tries


def _upload(pipeline: Pipeline, findings: Findings, run: RunLog, tries: Sequence[Try]) -> None:
    for kind, artifact in findings.artifacts.items():
        if run.lacks(kind, artifact["digest"]):
            place = tries[-1]["artifacts"][kind]["files"]
            run.upload(kind, artifact["digest"], list(_files(kind, findings.directories[kind], place)))
    _upload_plots(pipeline, findings, run, own_place(len(tries), "plots"))


def _files(kind: str, directory: Path, place: str) -> Iterator[tuple[Path, str]]:
    for pattern in ("manifest.json", *UPLOADED.get(kind, ())):
        for path in sorted(directory.glob(pattern)):
            yield path, f"{place}/{path.name}" if path.is_dir() else place


def _upload_plots(pipeline: Pipeline, findings: Findings, run: RunLog, place: str) -> None:
    from ml.release.plots import REVISION, draw_plots

    drawn_from = {kind: findings.artifacts.get(kind) for kind in ("evaluation", "drift_report")}
    digest = digest_of({"revision": REVISION, "from": drawn_from})
    if any(drawn_from.values()) and run.lacks("plots", digest):
        with tempfile.TemporaryDirectory() as directory:
            plots = draw_plots(pipeline, findings, Path(directory))
            run.upload("plots", digest, [(plot, place) for plot in plots])


def _register(
    pipeline: Pipeline,
    night: Night,
    findings: Findings,
    client: MlflowClient,
    run: RunLog,
    tries: Sequence[Try],
) -> str:
    from ml.release.registry import WATERMARK, Registry
    from ml.release.run_labels import tags_of

    if "model" not in findings.artifacts:
        return ""
    registry = Registry(client, pipeline.serving.model)
    tags = tags_of(pipeline, night.window, findings)
    kept = {name: value for name, value in tags.items() if not name.startswith("mlflow.")}
    model = tries[-1]["artifacts"]["model"]
    source = f"runs:/{run.run_id}/{model['files']}/saved_model"
    version = registry.register(model["digest"], source, run.run_id, kept)
    registry.offer_candidate(version, kept[WATERMARK])
    return str(version.version)
