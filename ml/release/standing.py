"""How a pipeline stands: what serves, what should, and what the last nights came to.

Everything is read anew each time: a number from memory could hide the very thing that is watched for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from ml.config import Pipeline
from ml.connections import MlflowConnection, ServingConnection
from ml.release import past_nights
from ml.release.history import golden_version, realised_words
from ml.release.ledger import Ledger
from ml.release.production import Records
from ml.release.rehearsal import read_rehearsal
from ml.release.rest import RestServer
from ml.release.rollout.trial import find_trial
from ml.release.router import read_share
from ml.release.versions import Versions
from ml.release.watch.concerns import Notebook
from ml.store import Store

SHOWN_NIGHTS = SHOWN_CANARIES = 30
NO_VERSION = 0
# A model server says at once what it serves, or it hangs.
PATIENCE_SECONDS = 5.0
# MLflow's client takes its settings from the environment of the process, which one thread at a time can set.
ENVIRONMENT = threading.Lock()


@dataclass(frozen=True)
class Sample:
    """One value; ``labels`` are those of `ml.release.exposition.METRICS`, after the pipeline's name."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sources:
    """Where the metrics are read from.

    Attributes:
        store: the artifacts.
        serving: the model server of the stable track.
        mlflow: where the registry is.
        canary: the second model server, for pipelines whose canary has one.
    """

    store: Store
    serving: ServingConnection
    mlflow: MlflowConnection
    canary: ServingConnection | None = None


def certain(pipeline: Pipeline, now: datetime) -> Iterator[Sample]:
    """What settings and clock tell, whoever does not answer."""
    yield Sample("retraining_due_watermark_timestamp_seconds", due_watermark(pipeline, now).timestamp())
    yield Sample("retraining_model_info", 1, (pipeline.serving.model,))


def readings(pipeline: Pipeline, sources: Sources, now: datetime) -> dict[str, Callable[[], list[Sample]]]:
    """Source → what reads all that it tells of a pipeline, and raises if it does not.

    They can be read at the same time. None waits for a server for longer than seconds at a time.
    """
    parts: dict[str, Callable[[], Iterator[Sample]]] = {
        "store": lambda: _of_store(pipeline, sources.store),
        "model-server": lambda: _of_server(pipeline, sources),
        "router": lambda: _of_router(pipeline, sources.serving),
        "registry": lambda: _of_registry(pipeline, sources.mlflow),
        "ledger": lambda: _of_ledger(pipeline, sources.store, now),
    }
    if pipeline.serving.canary:
        parts["canary-server"] = lambda: _of_canary(pipeline, sources)
    return {source: partial(_read, part) for source, part in parts.items()}


def due_watermark(pipeline: Pipeline, now: datetime) -> datetime:
    """The end of the day that should be served by now: yesterday's, from ``serving.published_by`` on."""
    zone = ZoneInfo(pipeline.landing.time_zone)
    here = now.astimezone(zone)
    is_due = here.time() >= time.fromisoformat(pipeline.serving.published_by)
    day = here.date() if is_due else here.date() - timedelta(days=1)
    return datetime.combine(day, time(), zone)


def _read(part: Callable[[], Iterator[Sample]]) -> list[Sample]:
    return list(part())


def _of_store(pipeline: Pipeline, store: Store) -> Iterator[Sample]:
    for night in past_nights.judged_nights(pipeline, store, SHOWN_NIGHTS):
        yield Sample("retraining_verdict_info", 1, (night.day, night.verdict))
    for feature in past_nights.last_drift(pipeline, store):
        if feature["divergence_bits"] is not None:
            yield Sample("retraining_drift_bits", feature["divergence_bits"], (feature["feature"],))
        yield Sample("retraining_drift_threshold_bits", feature["threshold_bits"], (feature["feature"],))


def _of_server(pipeline: Pipeline, sources: Sources) -> Iterator[Sample]:
    number = _labelled(sources.serving, pipeline, pipeline.serving.label)
    yield Sample("retraining_served_version", number)
    version = Versions(pipeline, sources.store).find(number)
    watermark = version.watermark.timestamp() if version else 0
    yield Sample("retraining_served_watermark_timestamp_seconds", watermark)


def _of_ledger(pipeline: Pipeline, store: Store, now: datetime) -> Iterator[Sample]:
    yield Sample("retraining_ledger_version", Ledger(pipeline, store).last_served or NO_VERSION)
    yield from _published(pipeline, store, now)
    yield from _tried(Records(pipeline, store))
    yield from _realised(Records(pipeline, store))
    yield from _rehearsed(Records(pipeline, store))
    if pipeline.serving.watch:
        record = Notebook(pipeline, store).read()
        seen_at = record["seen_at"] if record else None
        moment = datetime.fromisoformat(seen_at).timestamp() if seen_at else 0
        yield Sample("retraining_watch_timestamp_seconds", moment)


def _published(pipeline: Pipeline, store: Store, now: datetime) -> Iterator[Sample]:
    lines, due = Ledger(pipeline, store).entries(), due_watermark(pipeline, now).date() - timedelta(days=1)
    unpublished = past_nights.unpublished_nights(pipeline, store, lines, due)
    yield Sample("retraining_blocked_nights", unpublished)
    yield Sample("retraining_blocked_nights_limit", pipeline.serving.blocked_nights)
    if moment := past_nights.last_publication(pipeline, lines):
        yield Sample("retraining_last_published_timestamp_seconds", moment.timestamp())


def _tried(records: Records) -> Iterator[Sample]:
    """Since when a version is on trial, and after how long its rollout has a word on it at the latest."""
    canary = records.pipeline.serving.canary
    if canary and (trial := find_trial(records)):
        since, number = trial.since.timestamp(), str(trial.version.number)
        yield Sample("retraining_trial_timestamp_seconds", since, (number,))
        yield Sample("retraining_trial_limit_seconds", canary.rollout.max_minutes * 60)


def _realised(records: Records) -> Iterator[Sample]:
    """The last canaries' realised verdicts, and always those of the versions that users are answered by."""
    on_trial, ledger = records.on_trial, records.ledger
    tracks = {ledger.last_served: "stable", on_trial and on_trial["to"]: "canary"}
    words = realised_words(ledger.entries())
    for version in sorted(words, key=lambda version: (version in tracks, version))[-SHOWN_CANARIES:]:
        labels = (str(version), words[version]["verdict"], tracks.get(version, "none"))
        yield Sample("retraining_realised_verdict_info", 1, labels)


def _rehearsed(records: Records) -> Iterator[Sample]:
    """Of the way back to the version that is golden now; one that was never tried is as old as can be."""
    if golden_version(records.ledger.entries()) is None:
        return
    rehearsal = read_rehearsal(records)
    moment = datetime.fromisoformat(rehearsal["at"]).timestamp() if rehearsal else 0
    yield Sample("retraining_rehearsal_timestamp_seconds", moment)
    if rehearsal:
        yield Sample("retraining_rehearsal_passed", float(rehearsal["passed"]))


def _of_canary(pipeline: Pipeline, sources: Sources) -> Iterator[Sample]:
    canary = pipeline.serving.canary
    server = sources.canary if canary and canary.servers == "two" else sources.serving
    if canary and server:
        yield Sample("retraining_canary_version", _labelled(server, pipeline, canary.label))


def _of_router(pipeline: Pipeline, serving: ServingConnection) -> Iterator[Sample]:
    yield Sample("retraining_canary_share", read_share(pipeline, serving))


def _of_registry(pipeline: Pipeline, mlflow: MlflowConnection) -> Iterator[Sample]:
    from ml.release.registry import Registry
    from ml.release.tracking import open_mlflow

    with ENVIRONMENT, open_mlflow(mlflow, "none") as client:
        number = Registry(client, pipeline.serving.model).production_version()
    yield Sample("retraining_registry_version", number or NO_VERSION)


def _labelled(server: ServingConnection, pipeline: Pipeline, label: str) -> int:
    with RestServer(server, pipeline.serving.model, PATIENCE_SECONDS) as rest:
        return rest.labelled_version(label) or NO_VERSION
