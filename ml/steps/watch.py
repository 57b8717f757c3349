"""The watch over what users are answered by."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ml.connections import MlflowConnection, PrometheusConnection, ServingConnection
from ml.steps.records import records_of

if TYPE_CHECKING:
    from ml.release.watch.look import Look


def watch_production(
    pipeline: str,
    run: dict[str, str] | None = None,
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
    prometheus: PrometheusConnection | None = None,
    canary: ServingConnection | None = None,
) -> dict[str, Any]:
    """Look once at what serves; go back to the previous version if a configured alert blames the last move.

    Every look compares model server, registry and ledger. Alerts are asked for if ``serving.watch`` names
    any. It goes back at most once for a move, and never from where a roll-back has led. Who does not answer
    is a concern and no failure.

    Args:
        pipeline: the pipeline's name.
        run: who asks; ``url`` is its page or empty.
        serving: the model server.
        mlflow: where the registry is.
        prometheus: has the alerts; not needed if none are watched.
        canary: the canary's model server, if it has one of its own.

    Returns:
        ``summary`` (one sentence), ``decision`` (CALM, LEAVE, TELL, ROLL_BACK, or UNKNOWN if it could not be
        judged), ``concerns`` (all that a person has to know), ``news`` (those that were not told before, and
        what is over), ``pipeline`` and ``url``. The news come again until `mark_told` was called.
    """
    from ml.release.watch.look import Servers, watch_production

    servers = Servers(serving, mlflow, prometheus, canary)
    found = watch_production(records_of(pipeline), servers, datetime.now(timezone.utc))
    return {**_described(pipeline, found), "pipeline": pipeline, "url": run["url"] if run else ""}


def mark_told(pipeline: str, news: list[str]) -> None:
    """Remember that a message has brought these news of `watch_production`, so that they come no more."""
    from ml.release.watch.look import mark_told

    mark_told(records_of(pipeline), news)


def look_at_production(
    pipeline: str,
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
    prometheus: PrometheusConnection | None = None,
    canary: ServingConnection | None = None,
) -> dict[str, Any]:
    """Say what `watch_production` would do now; nothing is moved, told or remembered.

    The arguments are those of `watch_production`, and so is the answer, but for ``pipeline`` and ``url``.
    """
    from ml.release.watch.look import Servers, look

    servers = Servers(serving, mlflow, prometheus, canary)
    return _described(pipeline, look(records_of(pipeline), servers, datetime.now(timezone.utc)))


def _described(pipeline: str, found: Look) -> dict[str, Any]:
    judgement, served = found.judgement, found.standing and found.standing.served
    return {
        "summary": f"{pipeline}, served by {served}: {judgement.sentence if judgement else 'not judged'}",
        "decision": judgement.decision if judgement else "UNKNOWN",
        "concerns": [concern.text for concern in found.concerns],
        "news": list(found.news),
    }
