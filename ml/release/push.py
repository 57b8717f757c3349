"""The push: the one step that changes what users see."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ml.artifact import Artifact, Window
from ml.config import Pipeline
from ml.connections import MlflowConnection, ServingConnection
from ml.release.fence import check_blessing, check_not_what_if
from ml.release.production import Records
from ml.store import Draft, Store


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
    """

    model: Artifact
    blessing: Artifact
    production: Artifact
    examples: Path
    holdout: Window
    who: str = ""


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

    check_not_what_if(*(store.manifest(part).identity.variant for part in (push.blessing, push.model)))
    check_blessing(store.read_json(push.blessing))
    judged_against = store.read_json(push.production)["version"]
    started = time.monotonic()
    published = publish(push, judged_against, Records(pipeline, store), serving, mlflow)
    draft.write_json(
        {
            "version": published.version.number,
            "previous": judged_against,
            "label": pipeline.serving.label,
            "model": push.model,
            "watermark": published.version.watermark.isoformat(),
        }
    )
    draft.facts["version"] = published.version.number
    draft.measurements["seconds"] = time.monotonic() - started
    draft.measurements["golden_differences"] = published.differences
