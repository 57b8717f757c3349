"""Keeping store and model servers in order. No part of a night."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ml.connections import MlflowConnection, ServingConnection
from ml.pipelines import load_pipeline
from ml.store import Store

if TYPE_CHECKING:
    from ml.housekeeping import House


def plan_housekeeping(
    pipeline: str,
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
    canary: ServingConnection | None = None,
) -> dict[str, Any]:
    """Say what housekeeping would remove, and why. Nothing is changed.

    Args:
        pipeline: the pipeline's name.
        serving: asked what is served and labelled.
        mlflow: asked what its aliases name.
        canary: the second model server, if the pipeline has one.

    Returns:
        ``outgoing`` (each with ``name``, ``bytes`` and ``reason``), ``kept_versions`` (version → why),
        ``kept`` (why → how many artifacts) and a ``summary`` in one sentence; see `render_housekeeping`.

    Raises:
        Unavailable: if a server does not answer: nobody knows what must stay.
        Misconfigured: if users are served by a version that was not published from this store, or the
            canary has a server of its own and no connection to it is given.
        StoreCorrupted: if the ledger or a manifest cannot be read.
    """
    from ml import housekeeping

    house = _house(pipeline, serving, mlflow, canary)
    plan = housekeeping.plan_housekeeping(house, datetime.now(timezone.utc)).as_json()
    summary = housekeeping.summarise(plan["outgoing"], "would be removed")
    return {**plan, "dry_run": True, "spared": {}, "summary": summary}


def housekeep(
    pipeline: str,
    dry_run: bool = False,
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
    canary: ServingConnection | None = None,
) -> dict[str, Any]:
    """Remove what is no longer needed: old versions of the model server, and artifacts of the store.

    What it removes is decided anew, not taken from an older plan.

    Args:
        pipeline: the pipeline's name.
        dry_run: only say what would be removed.
        serving: as in `plan_housekeeping`; unloads what goes.
        mlflow: as in `plan_housekeeping`.
        canary: as in `plan_housekeeping`.

    Returns:
        As `plan_housekeeping`, and ``spared`` (name → why it stayed after all).

    Raises:
        Unavailable: as in `plan_housekeeping`, or if a server does not let go of a version.
        Misconfigured: as in `plan_housekeeping`.
        StoreCorrupted: as in `plan_housekeeping`.
    """
    if dry_run:
        return plan_housekeeping(pipeline, serving=serving, mlflow=mlflow, canary=canary)
    from ml import housekeeping

    house = _house(pipeline, serving, mlflow, canary)
    plan, sweep = housekeeping.housekeep(house, datetime.now(timezone.utc))
    summary = housekeeping.summarise([vars(one) for one in sweep.removed], "removed")
    spared = f"; {len(sweep.spared)} stayed after all" if sweep.spared else ""
    return {**plan.as_json(), "dry_run": False, "spared": sweep.spared, "summary": f"{summary}{spared}"}


def render_housekeeping(plan: dict[str, Any]) -> str:
    """Draw for a terminal what housekeeping would remove, or has removed."""
    from ml import housekeeping

    return housekeeping.render_plan(plan)


def _house(
    pipeline: str, serving: ServingConnection, mlflow: MlflowConnection, canary: ServingConnection | None
) -> House:
    from ml import housekeeping
    from ml.release.rollout.tracks import Tracks

    settings, servers = load_pipeline(pipeline), [serving]
    if settings.serving.canary and (beside := Tracks.of(settings, serving, canary).canary) != serving:
        servers.append(beside)
    return housekeeping.House(settings, Store.from_environment(), tuple(servers), mlflow)
