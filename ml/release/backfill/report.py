"""The parent run of a backfill: its table, note and plot, and its nights below it."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.artifact import digest_of
from ml.config import Pipeline
from ml.connections import MlflowConnection
from ml.errors import Misconfigured
from ml.release.backfill.nights import Backfill, Nights, ReplayedNight
from ml.release.backfill.table import columns_of, metrics_of, note_of, summary_of
from ml.release.run_labels import BACKFILL, KIND, WHAT_IF_NAME
from ml.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ml.release.run_log import RunLog

PARENT = "mlflow.parentRunId"
KEY, STARTED = "retraining.backfill", "retraining.backfill.started_at"
TABLE, REQUEST, PLOT = "backfill.json", "request.json", "original_and_replay.png"
# MLflow shows a JSON file as a table if this tag says that it is one.
TABLES = {"mlflow.loggedArtifacts": json.dumps([{"path": TABLE, "type": "table"}])}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportedBackfill:
    """Where a backfill was reported, and what it came to.

    Attributes:
        url: the page of the parent run.
        summary: in one sentence.
    """

    url: str
    summary: str


def report_backfill(
    pipeline: Pipeline, backfill: Backfill, mlflow: MlflowConnection, store: Store
) -> ReportedBackfill:
    """Write a backfill's parent run, which is found again by its key, and put its nights below it.

    Raises:
        Unavailable: if MLflow does not answer.
        Misconfigured: if it refuses the credentials, or the experiment was deleted.
    """
    from ml.release.run_log import RunLog
    from ml.release.tracking import open_mlflow

    with store.lock(f"{pipeline.name}/release/mlflow"), open_mlflow(mlflow) as client:
        run = RunLog(client, pipeline.name, _run_key(backfill.key), f"backfill {backfill.key}")
        backfill = _as_begun(backfill, run)
        nights = Nights(client, run.experiment_id, pipeline.landing.time_zone).read(backfill)
        summary = summary_of(nights, pipeline.gate.metric)
        _write(pipeline, backfill, nights, run)
        _adopt(client, run, nights)
        run.end("FINISHED")
    url = mlflow.run_page(run.experiment_id, run.run_id)
    log.info("the backfill is at %s", url)
    return ReportedBackfill(url, summary)


def read_backfill(pipeline: Pipeline, key: str, mlflow: MlflowConnection) -> Backfill:
    """The backfill of this key, as it was reported first.

    Raises:
        Misconfigured: if none was reported under this key; the message names those that were.
    """
    from ml.release.run_log import experiment_of, find_run, read_json
    from ml.release.tracking import open_mlflow

    with open_mlflow(mlflow) as client:
        experiment_id = experiment_of(client, pipeline.name)
        if run := find_run(client, experiment_id, _run_key(key)):
            return Backfill(**read_json(client, run.info.run_id, REQUEST))
        known = client.search_runs([experiment_id], f"tags.`{KIND}` = '{BACKFILL}'")
        keys = sorted(str(run.data.tags.get(KEY)) for run in known)
    raise Misconfigured(
        f"no backfill of {pipeline.name} was reported under the key {key!r}; expected one of: "
        f"{', '.join(keys) or 'none was reported yet'}. Look for runs named backfill in MLflow."
    )


def _run_key(key: str) -> str:
    if "'" in key:
        raise Misconfigured(
            f"a backfill's key was expected to have no apostrophe, got {key}. Choose another."
        )
    return f"{BACKFILL}/{key}"


def _as_begun(backfill: Backfill, run: RunLog) -> Backfill:
    """A backfill that was interrupted and goes on began when it was first reported to have begun."""
    known = "" if run.lacks_all(BACKFILL) else run.read_json(REQUEST)["started_at"]
    return replace(backfill, started_at=known or backfill.started_at)


def _write(pipeline: Pipeline, backfill: Backfill, nights: Sequence[ReplayedNight], run: RunLog) -> None:
    metric = pipeline.gate.metric
    days = f": {nights[0].day} to {nights[-1].day}" if nights else ""
    tags = {
        KIND: BACKFILL,
        KEY: backfill.key,
        STARTED: _started(backfill, run),
        "pipeline": pipeline.name,
        "mlflow.runName": " ".join(["backfill", backfill.key, backfill.what_if]).rstrip() + days,
        "mlflow.note.content": note_of(backfill, nights, metric),
        "mlflow.source.name": backfill.key,
        "mlflow.source.type": "JOB",
        "mlflow.user": pipeline.owner,
        **TABLES,
    }
    run.log_tags({**tags, WHAT_IF_NAME: backfill.what_if} if backfill.what_if else tags)
    run.log_metrics(metrics_of(nights))
    _upload(pipeline, backfill, nights, run)


def _upload(pipeline: Pipeline, backfill: Backfill, nights: Sequence[ReplayedNight], run: RunLog) -> None:
    from ml.release.backfill.plot import REVISION, draw_backfill

    columns = columns_of(nights)
    digest = digest_of({"table": columns, "request": asdict(backfill), "revision": REVISION})
    if not run.lacks(BACKFILL, digest):
        return
    with tempfile.TemporaryDirectory() as directory:
        table, request, plot = (Path(directory) / name for name in (TABLE, REQUEST, PLOT))
        table.write_text(json.dumps(_split(columns)))
        request.write_text(json.dumps(asdict(backfill), indent=2))
        files = [(table, ""), (request, "")]
        if nights:
            title = f"{pipeline.name}, backfill {backfill.key} {backfill.what_if}".rstrip()
            files.append((draw_backfill(nights, pipeline.gate, title, plot), "plots"))
        run.upload(BACKFILL, digest, files)


def _split(columns: dict[str, list[Any]]) -> dict[str, Any]:
    """The table in the layout of pandas' ``orient="split"``, which MLflow reads."""
    return {"columns": list(columns), "data": [list(row) for row in zip(*columns.values(), strict=True)]}


def _adopt(client: MlflowClient, run: RunLog, nights: Sequence[ReplayedNight]) -> None:
    """Put the nights below the parent, but for those that a newer backfill has run since."""
    started = client.get_run(run.run_id).data.tags[STARTED]
    for night in nights:
        if not night.run_id:
            continue
        parent = client.get_run(night.run_id).data.tags.get(PARENT)
        if parent == run.run_id or (parent and client.get_run(parent).data.tags.get(STARTED, "") > started):
            continue
        client.set_tag(night.run_id, PARENT, run.run_id)


def _started(backfill: Backfill, run: RunLog) -> str:
    """When the backfill began, in UTC; if that is not known, when it was reported first."""
    moment = datetime.fromisoformat(backfill.started_at) if backfill.started_at else run.started_at
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds")
