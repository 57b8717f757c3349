"""The router's route: which share of a model's users the canary answers.

The router (deploy/router) reads a model's route for every request, so what is written here counts from the
next request on. Nothing is reloaded or restarted, and a request on its way ends where it began. A route is
one small JSON file below the directory that the model server shares with us.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from ml.config import Pipeline
from ml.connections import ServingConnection
from ml.durable import write_atomically
from ml.errors import Misconfigured
from ml.release.history import Line

log = logging.getLogger(__name__)

ROUTES = ".routes"


def route_file(pipeline: Pipeline, serving: ServingConnection) -> Path:
    """Where the router looks for the model's route. No model's name begins with a dot."""
    return serving.models_dir / ROUTES / f"{pipeline.serving.model}.json"


def route_lock(pipeline: Pipeline) -> str:
    """The name of the lock on whose share it is; nobody holds it while a server is asked."""
    return f"{pipeline.name}/route"


def read_share(pipeline: Pipeline, serving: ServingConnection) -> float:
    """The share of users whom the canary answers; 0 if no share was ever set.

    Raises:
        Misconfigured: if the route is not one that `set_share` wrote.
    """
    path = route_file(pipeline, serving)
    if not path.exists():
        return 0.0
    try:
        return float(json.loads(path.read_text())["share"])
    except (ValueError, KeyError, TypeError) as error:
        raise Misconfigured(
            f"{path} is not a route ({error!r}), so the router lets stable answer everybody. Expected JSON "
            "with a share: delete the file, or set the share anew."
        ) from error


def set_share(
    pipeline: Pipeline, serving: ServingConnection, share: float, version: int | None = None
) -> None:
    """Let the canary answer this share of users, from the router's next request on.

    A larger share keeps the users of a smaller one. Another version draws other users, so that it is not
    always the same ones who try what is new.

    Args:
        pipeline: the settings of the tracks.
        serving: the model server of the stable track, which shares its directory with the router.
        share: from 0, which nobody sees, to 1.
        version: of the canary.

    Raises:
        Misconfigured: if the pipeline has no canary to give a share to, or the share is none.
    """
    if not 0 <= share <= 1:
        raise Misconfigured(f"the share of the canary was to be {share}; expected 0 to 1. Give a fraction.")
    if share > 0 and pipeline.serving.canary is None:
        raise Misconfigured(
            f"the canary of {pipeline.serving.model} was to answer a share of {share}, and the pipeline "
            f"{pipeline.name} has none. Add serving.canary to its pipeline.yaml."
        )
    route = {**_tracks(pipeline), "share": share, "salt": "" if version is None else str(version)}
    content = json.dumps(route, indent=2, sort_keys=True) + "\n"
    write_atomically(route_file(pipeline, serving), content.encode())


def stray_share(pipeline: Pipeline, serving: ServingConnection, on_trial: Line | None) -> float:
    """The share of users whom the router sends to a canary although no version is on trial; 0 if all is well.

    A promotion closes the share last. One that was lost before it leaves users on the canary, who would
    stay there when stable goes back to another version. So does who takes ``serving.canary`` out of the
    settings in the middle of a trial. A route that cannot be read sends nobody anywhere but to stable.
    """
    if on_trial is not None:
        return 0.0
    try:
        return read_share(pipeline, serving)
    except Misconfigured as error:
        log.warning("%s", error)
        return 0.0


def close_stray_share(pipeline: Pipeline, serving: ServingConnection, on_trial: Line | None) -> None:
    """Let stable answer everybody if no version is on trial."""
    if on_trial is None and route_file(pipeline, serving).exists():
        set_share(pipeline, serving, 0.0)


def _tracks(pipeline: Pipeline) -> dict[str, Any]:
    setting, canary = pipeline.serving, pipeline.serving.canary
    if canary is None:
        return {"header": "", "stable": {"label": setting.label}, "canary": None, "recorded": None}
    server = "canary" if canary.servers == "two" else "stable"
    return {
        "header": canary.header,
        "stable": {"label": setting.label},
        "canary": {"label": canary.label, "server": server},
        "recorded": {"inputs": list(canary.realised.inputs)} if canary.realised else None,
    }
