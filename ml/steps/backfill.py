"""Steps around a backfill. None of them is part of a night."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ml.connections import KafkaConnection, MlflowConnection, ServingConnection
from ml.day import Day
from ml.decisions import refuse_in_what_if
from ml.pipelines import load_pipeline
from ml.steps.windows import backfill_windows
from ml.store import Store


def plan_backfill(
    pipeline: str,
    days: Sequence[str],
    asked: Mapping[str, str] | None = None,
    *,
    kafka: KafkaConnection,
    serving: ServingConnection,
    mlflow: MlflowConnection,
) -> dict[str, Any]:
    """Say what running some days again would do, and why. Nothing is run, made or moved.

    Args:
        pipeline: the pipeline's name.
        days: the first and the last day in the pipeline's time zone, YYYY-MM-DD.
        asked: reasons that the days would be run with: ``accept_gap``, ``refresh_landing``,
            ``refresh_production``; empty ones are none.
        kafka: asked what the topic still holds.
        serving: asked what serves.
        mlflow: asked whether its alias agrees.

    Returns:
        A `ml.backfill.plan.Plan`. What does not answer is a finding in it.

    Raises:
        Misconfigured: if the days are no days, are in the wrong order or have not settled, or if a what-if is
            asked to decide about a landing.
    """
    from ml import backfill

    reasons, (first, last) = backfill.Asked(**(asked or {})), days
    windows = backfill_windows(pipeline, first, last)
    some_day = Day.of(pipeline, **windows[0].as_json())
    if reasons.accept_gap or reasons.refresh_landing:
        refuse_in_what_if(some_day)
    planned = [replace(some_day, window=window) for window in windows]
    return dict(backfill.plan_backfill(planned, reasons, kafka, serving, mlflow))


def render_plan(plan: dict[str, Any]) -> str:
    """Draw the plan of a backfill for a terminal."""
    from ml import backfill

    return backfill.render_plan(plan)  # type: ignore[arg-type]


def report_backfill(pipeline: str, backfill: dict[str, Any], *, mlflow: MlflowConnection) -> dict[str, str]:
    """Write one MLflow run for a whole backfill: day by day what the nights came to before, and now.

    It may be called as often as one likes: the run is found again by the backfill's key. The nights appear
    below it, unless a newer backfill has run them since.

    Args:
        pipeline: the pipeline's name.
        backfill: ``key`` names it for ever, such as ``airflow/3``; ``nights`` are the run keys of its
            nights, as they were given to ``log_to_mlflow``; ``what_if`` is the name of the what-if, or
            empty. ``started_at`` (ISO 8601 with an offset) may be given, so that a night that came to the
            same again is told from one that never ran before; ``failed`` (run key → reason) for nights
            that were not logged.
        mlflow: where to.

    Returns:
        ``url`` of the run, and a ``summary`` in one sentence.

    Raises:
        Unavailable: if MLflow does not answer.
    """
    from ml import release

    reported = release.report_backfill(
        load_pipeline(pipeline), release.Backfill(**backfill), mlflow, Store.from_environment()
    )
    return {"url": reported.url, "summary": reported.summary}


def read_backfill(pipeline: str, key: str, *, mlflow: MlflowConnection) -> dict[str, Any]:
    """The argument with which a backfill was reported, so that it can be reported again.

    Raises:
        Misconfigured: if none was reported under this key.
    """
    from dataclasses import asdict

    from ml import release

    return asdict(release.read_backfill(load_pipeline(pipeline), key, mlflow))
