"""The watch over what users are answered by."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ml.connections import MlflowConnection, PrometheusConnection, ServingConnection
from ml.steps.records import records_of


def watch_production(
    pipeline: str,
    run: dict[str, str] | None = None,
    dry_run: bool = False,
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
    prometheus: PrometheusConnection | None = None,
) -> dict[str, Any]:
    """Look once at what serves; go back to the previous version if a configured alert blames the last move.

    Every look compares model server, registry and ledger. Alerts are asked for if ``serving.watch`` names
    any. It goes back at most once for a move, and never from where a roll-back has led. Who does not answer
    is a concern and no failure.

    Args:
        pipeline: the pipeline's name.
        run: who asks; ``url`` is its page or empty.
        dry_run: whether only to say what would be done; then nothing is told, and nothing remembered.
        serving: the model server.
        mlflow: where the registry is.
        prometheus: has the alerts; not needed if none are watched.

    Returns:
        ``summary`` (one sentence), ``decision`` (CALM, LEAVE, TELL, ROLL_BACK, or UNKNOWN if it could not be
        judged), ``concerns`` (all that a person has to know), ``news`` (those that were not told before, and
        what is over) and ``url``.
    """
    from ml.release.watch.look import Servers, look, watch_production

    records, servers = records_of(pipeline), Servers(serving, mlflow, prometheus)
    act = look if dry_run else watch_production
    found = act(records, servers, datetime.now(timezone.utc))
    judgement, served = found.judgement, found.standing and found.standing.served
    return {
        "summary": f"{pipeline}, served by {served}: {judgement.sentence if judgement else 'not judged'}",
        "decision": judgement.decision if judgement else "UNKNOWN",
        "concerns": [concern.text for concern in found.concerns],
        "news": list(found.news),
        "url": run["url"] if run else "",
    }
