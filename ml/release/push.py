"""The push: the one step that changes what users see."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ml.artifact import Artifact, Window
from ml.config import Pipeline
from ml.connections import MlflowConnection, ServingConnection
from ml.release.fence import check_blessing, check_not_what_if
from ml.release.production import Records
from ml.store import Draft, Store

if TYPE_CHECKING:
    from ml.release.publication import Published
    from ml.release.rollout.tracks import Tracks


@dataclass(frozen=True)
class Push:
    """What is to be published, and on what grounds.

    Attributes:
        model: the candidate.
        blessing: the gate's word on it.
        production: what it was judged against.
        examples: directory of the day's examples, whose held-out rows warm the version up and test it.
        holdout: the held-out end of that day.
        who: the DAG run that pushes, for the ledger; by default the user of the operating system.
        approval: who has approved it and when, for the ledger; empty if nobody was asked.
    """

    model: Artifact
    blessing: Artifact
    production: Artifact
    examples: Path
    holdout: Window
    who: str = ""
    approval: str = ""


def push_model(
    pipeline: Pipeline,
    push: Push,
    serving: ServingConnection,
    mlflow: MlflowConnection,
    store: Store,
    draft: Draft,
) -> None:
    """Publish a blessed candidate in two phases and write ``pushed_model.json``.

    ::

        {"version": 20261120001, "previous": 20261119001, "label": "stable", "model": {…},
         "watermark": "2026-11-21T00:00:00+00:00"}

    The version before answers throughout, and stays loaded afterwards. A push that was lost half-way is
    finished by the next one; one whose version is served already changes nothing.

    Raises:
        Withheld: if the gate has not blessed it, it was judged against another version than the one that
            is served, the served one has seen newer data, or a what-if has made it.
        NotServable: if the server cannot load it, or it answers otherwise than offline; serving is put back.
        Unavailable: if model server or MLflow do not answer.
        Misconfigured: if the model was not logged, or label and alias disagree.
    """
    from ml.release.publication import publish

    judged_against = _admit(push, store)
    started = time.monotonic()
    published = publish(push, judged_against, Records(pipeline, store), serving, mlflow)
    _write(published, pipeline.serving.label, push, judged_against, draft)
    draft.measurements["seconds"] = time.monotonic() - started


def push_canary(
    pipeline: Pipeline, push: Push, tracks: Tracks, mlflow: MlflowConnection, store: Store, draft: Draft
) -> None:
    """Show a blessed candidate to the canary's users, and write ``pushed_model.json`` as `push_model` does.

    Its label is the canary's, and all other users are answered as before. The very first version has
    nothing beside it to be compared with, so it goes to all users.

    Raises:
        Withheld: as in `push_model`, or if a version that is as new is on trial already.
        NotServable: if the canary's server cannot load it, or it answers otherwise than offline.
        Unavailable: if a model server or MLflow does not answer.
    """
    from ml.release.rollout.start import start_canary
    from ml.release.rollout.tracks import canary_of

    judged_against = _admit(push, store)
    if judged_against is None:
        push_model(pipeline, push, tracks.stable, mlflow, store, draft)
        return
    started = time.monotonic()
    published = start_canary(push, judged_against, Records(pipeline, store), tracks, mlflow)
    _write(published, canary_of(pipeline).label, push, judged_against, draft)
    draft.measurements["seconds"] = time.monotonic() - started


def _admit(push: Push, store: Store) -> int | None:
    """The version that a blessed candidate was judged against."""
    check_not_what_if(*(store.manifest(part).identity.variant for part in (push.blessing, push.model)))
    check_blessing(store.read_json(push.blessing))
    judged_against: int | None = store.read_json(push.production)["version"]
    return judged_against


def _write(published: Published, label: str, push: Push, previous: int | None, draft: Draft) -> None:
    version = published.version
    draft.write_json(
        {
            "version": version.number,
            "previous": previous,
            "label": label,
            "model": push.model,
            "watermark": version.watermark.isoformat(),
        }
    )
    draft.facts["version"] = version.number
    draft.measurements["golden_differences"] = published.differences
