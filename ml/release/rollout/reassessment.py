"""The later word on a canary goes on record: in the ledger, and beside its model in MLflow.

| action | after it | if the process is lost after it |
|---|---|---|
| note | the ledger has one line for each trial of the day, with its evidence | it is found |
| tags, metrics | MLflow has the word that counts, and the day's numbers | they are written once more |

Nothing that serves is touched: what to do about a doubted version is said, and a person does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ml.artifact import Artifact
from ml.connections import MlflowConnection
from ml.errors import Misconfigured
from ml.release.history import Line, judged_day, realised_words
from ml.release.ledger import MAX_REASON, Move
from ml.release.production import Records, publication_lock
from ml.release.rollout.tracks import Tracks, canary_of
from ml.release.rollout.trial import find_trial
from ml.release.run_labels import shorten
from ml.release.versions import Version

if TYPE_CHECKING:
    from mlflow.entities import Metric

WHY = '"doubted by realised labels"'

ACTION: Literal["reassess"] = "reassess"
DAY, VERDICT, REASONS = "realised.day", "realised.verdict", "realised.reasons"
TOLD = ("answers", "rows", "positives", "users", "mean_score")


@dataclass(frozen=True)
class Reassessed:
    """One trial's later word.

    Attributes:
        version: the canary.
        verdict: CONFIRMED, DOUBTED or INCONCLUSIVE.
        reasons: in words.
        command: the one to run if it is doubted and users are still answered by it; empty otherwise.
    """

    version: int
    verdict: str
    reasons: tuple[str, ...]
    command: str


def record_realised(
    realised: Artifact, records: Records, tracks: Tracks, mlflow: MlflowConnection, who: str
) -> list[Reassessed]:
    """Put every trial of a day on record. To repeat it adds nothing.

    Args:
        realised: the judgement.
        records: numbers and ledger.
        tracks: the servers; the lock of stable's is that of the ledger.
        mlflow: where the registry is.
        who: the DAG run, or the user of the operating system.

    Raises:
        Unavailable: if MLflow does not answer; the ledger has the lines by then.
        Misconfigured: if one of the versions is not this store's.
    """
    content = records.store.read_json(realised)
    with records.store.lock(publication_lock(tracks.stable)):
        for trial in content["trials"]:
            _note(trial, realised, records, who)
        said = [_describe(trial, records) for trial in content["trials"]]
    _mirror(realised, records, mlflow)
    return said


def _note(trial: dict[str, Any], realised: Artifact, records: Records, who: str) -> None:
    number, reason = trial["version"], shorten("; ".join(trial["reasons"]), MAX_REASON)
    for line in records.ledger.entries():
        same = line["action"] == ACTION and line["evidence"] == realised["uri"]
        if same and (line["to"], line["reason"]) == (number, reason):
            return
    label, version = canary_of(records.pipeline).label, _version(number, records)
    move = Move(ACTION, label, version, number, who, reason, trial["verdict"], realised["uri"])
    records.ledger.note(move)


def _version(number: int, records: Records) -> Version:
    version = records.versions.find(number)
    if version is None:
        raise Misconfigured(
            f"version {number} was tried as a canary, and {records.store.root} has no record of it. Set "
            "RETRAIN_HOME to the store that published it."
        )
    return version


def _describe(trial: dict[str, Any], records: Records) -> Reassessed:
    command = _command(trial["version"], records) if trial["verdict"] == "DOUBTED" else ""
    return Reassessed(trial["version"], trial["verdict"], tuple(trial["reasons"]), command)


def _command(version: int, records: Records) -> str:
    """What takes a doubted version from its users; empty if none is answered by it any more."""
    on_trial, name = find_trial(records), records.pipeline.name
    if on_trial and on_trial.version.number == version:
        return f"python -m ml rollout withdraw --pipeline {name} --reason {WHY}"
    if records.ledger.last_served == version:
        return f"python -m ml rollback --pipeline {name} --to previous --reason {WHY}"
    return ""


def _mirror(realised: Artifact, records: Records, mlflow: MlflowConnection) -> None:
    from ml.release.registry import Registry
    from ml.release.tracking import open_mlflow

    content, file = records.store.read_json(realised), records.store.open(realised) / "realised.json"
    words = realised_words(records.ledger.entries())
    with open_mlflow(mlflow) as client:
        registry = Registry(client, records.pipeline.serving.model)
        for trial in content["trials"]:
            logged = registry.find_logged(_version(trial["version"], records).model["digest"])
            registry.tag(logged, _tags(words[trial["version"]], records))
            if logged.run_id:
                client.log_batch(logged.run_id, metrics=list(_metrics(trial, content["day"])))
                client.log_artifact(logged.run_id, str(file), f"realised/{content['day']}")


def _tags(word: Line, records: Records) -> dict[str, str]:
    return {DAY: _day(word, records), VERDICT: word["verdict"], REASONS: word["reason"]}


def _day(word: Line, records: Records) -> str:
    """The day that a word is about, by the pipeline's clocks."""
    pipeline, address = records.pipeline, judged_day(word)
    found = (one.identity for one in records.store.manifests(pipeline.name, "realised", address))
    names = (pipeline.name_of(one.window) for one in found if one.uri == word["evidence"])
    return next(names, address)


def _metrics(trial: dict[str, Any], day: str) -> Iterator[Metric]:
    """Both tracks' numbers; the step is the day, so that a later one is a point further on."""
    from datetime import datetime

    from mlflow.entities import Metric

    moment = int(datetime.fromisoformat(trial["until"]).timestamp() * 1000)
    step = int(day.replace("-", ""))
    for track, found in trial["tracks"].items():
        values = {name: found[name] for name in TOLD if found[name] is not None}
        values |= {name: metric["value"] for name, metric in (found["metrics"] or {}).items()}
        for name, value in values.items():
            yield Metric(f"realised.{track}.{name}", value, moment, step)
