"""What becomes of a blessed version that a few users try first."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ml.connections import MlflowConnection, PrometheusConnection, ServingConnection
from ml.errors import Withheld
from ml.steps.approval import NOT_ASKED, said_of
from ml.steps.records import records_of

if TYPE_CHECKING:
    from ml.release.wish import Wish


def find_canary(pipeline: str, *, or_last: bool = False) -> dict[str, Any]:
    """Which version is on trial, beside which, and since when, by the ledger.

    Args:
        pipeline: the pipeline's name.
        or_last: take the last one that was on trial if none is: whoever ended its trial may have been lost.

    Returns:
        ``version``, ``stable`` and ``since``.

    Raises:
        Withheld: if none is.
        Misconfigured: if the pipeline has no canary.
    """
    from ml.release.rollout.trial import describe_trial, find_last_trial, find_trial

    records = records_of(pipeline)
    trial = find_trial(records) or (find_last_trial(records) if or_last else None)
    if trial is None:
        raise Withheld(f"no version of {pipeline} is on trial; serving stays as it is")
    return describe_trial(trial)


def watch_canary(
    pipeline: str,
    trial: dict[str, Any],
    run: dict[str, str] | None = None,
    *,
    prometheus: PrometheusConnection,
) -> dict[str, Any]:
    """Judge the version on trial by what users were answered since its trial began.

    A look costs three questions to Prometheus. A decision leaves an artifact with all that it rests on.

    Args:
        pipeline: the pipeline's name.
        trial: as `find_canary` returned it; another one that has taken its place is not judged.
        run: who asks; ``url`` is its page or empty.
        prometheus: has the router's metrics.

    Returns:
        ``decision`` (PROMOTE, ROLL_BACK, HOLD, or WAIT for a later look), ``reasons``, ``summary``,
        ``version``, ``stable``, ``since``, the ``evidence`` artifact or None, ``poll_seconds`` and ``url``.

    Raises:
        Withheld: if it is not on trial any more.
    """
    from ml.release.rollout.tracks import canary_of
    from ml.release.rollout.trial import describe_trial
    from ml.release.rollout.watch import watch_canary

    records, version = records_of(pipeline), int(trial["version"])
    look = watch_canary(version, records, prometheus, datetime.now(timezone.utc))
    decision, reasons = look.judgement.decision, list(look.judgement.reasons)
    return {
        "decision": decision,
        "reasons": reasons,
        "summary": f"canary {version} of {pipeline}, {decision}: {'; '.join(reasons)}",
        **describe_trial(look.trial),
        "evidence": look.evidence,
        "poll_seconds": canary_of(records.pipeline).rollout.poll_seconds,
        "url": run["url"] if run else "",
    }


def promote_canary(
    pipeline: str,
    judgement: dict[str, Any],
    run: dict[str, Any] | None = None,
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
    canary: ServingConnection | None = None,
) -> dict[str, Any]:
    """Let the canary answer all users: load it on stable, ask its golden requests, move label and alias.

    Args:
        pipeline: the pipeline's name.
        judgement: ``version``, ``stable`` (what it was compared with), ``summary`` (why) and ``evidence``; of
            `watch_canary` also ``reasons``.
        run: who asks; by default the user of the operating system. Where a person was asked before, its
            ``approval`` says who has approved it (``by``) and when (``at``), or is None if that task was
            passed over.
        serving: stable's model server.
        mlflow: where the registry is.
        canary: the canary's model server, if it has one of its own.

    Returns:
        ``summary`` and ``url`` to tell people, ``version``, ``previous`` and ``aliased``.

    Raises:
        Withheld: if it is not on trial, if an approval is missing, or if another version is served now than
            it was compared with.
    """
    from ml.release.rollout.promotion import Verdict, promote_canary
    from ml.release.rollout.tracks import Tracks

    approved = said_of((run or {}).get("approval", NOT_ASKED))
    records, version = records_of(pipeline), int(judgement["version"])
    tracks = Tracks.of(records.pipeline, serving, canary)
    reasons = "; ".join(filter(None, [approved, judgement["summary"]]))
    wish = _wish({**judgement, "summary": reasons}, run)
    verdict = Verdict(version, judgement["stable"], wish)
    done = promote_canary(verdict, records, tracks, mlflow)
    return {
        "summary": f"{done.version} of {pipeline} is served to all users (before: {done.previous})",
        "url": run["url"] if run else "",
        "version": done.version,
        "previous": done.previous,
        "aliased": done.aliased,
    }


def withdraw_canary(
    pipeline: str,
    judgement: dict[str, Any],
    run: dict[str, str] | None = None,
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
    canary: ServingConnection | None = None,
) -> dict[str, Any]:
    """Take the canary back: its users go to stable at once, its label goes, its content is not pushed again.

    The arguments are those of `promote_canary`.

    Returns:
        ``summary`` and ``url`` to tell people, ``version``, and whether it is ``unloaded``.

    Raises:
        Withheld: if it is not on trial.
    """
    from ml.release.rollout.tracks import Tracks
    from ml.release.rollout.withdrawal import withdraw_canary

    records, version = records_of(pipeline), int(judgement["version"])
    tracks = Tracks.of(records.pipeline, serving, canary)
    unloaded = withdraw_canary(version, _wish(judgement, run), records, tracks, mlflow)
    why = "; ".join(judgement.get("reasons") or [judgement["summary"]])
    rest = "" if unloaded else "; its server does not answer and has not unloaded it"
    return {
        "summary": f"canary {version} of {pipeline} is withdrawn: {why}{rest}",
        "url": run["url"] if run else "",
        "version": version,
        "unloaded": unloaded,
    }


def _wish(judgement: dict[str, Any], run: dict[str, str] | None) -> Wish:
    from ml.release.ledger import MAX_REASON, current_user
    from ml.release.run_labels import shorten
    from ml.release.wish import Wish

    evidence = judgement.get("evidence")
    return Wish(
        to=str(judgement["version"]),
        reason=shorten(judgement["summary"], MAX_REASON),
        who=run["key"] if run else current_user(),
        evidence=evidence["uri"] if evidence else "",
        is_run=run is not None,
    )
