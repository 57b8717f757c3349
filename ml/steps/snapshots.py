"""What was kept of each day: its statistics and the schema that it was held against."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ml import identities
from ml.artifact import Artifact, Window
from ml.day import Day
from ml.durable import write_atomically
from ml.errors import Misconfigured

if TYPE_CHECKING:
    from ml.validation import Comparison


def diff_statistics(pipeline: str, first: date, last: date, page: Path) -> Comparison:
    """Hold one day's statistics against an earlier day's, and write both side by side as a page.

    Args:
        pipeline: the pipeline's name.
        first: the earlier day, in the pipeline's time zone.
        last: the later day.
        page: where the HTML goes.

    Raises:
        Misconfigured: if one of the days has no statistics.
    """
    from ml import validation

    days = [_day(pipeline, day) for day in (first, last)]
    earlier, later = (_kept(day, "statistics") for day in days)
    comparison = validation.compare_statistics(days[0].pipeline, earlier, later)
    html = validation.compare_page(comparison, earlier, later, (days[0].name, days[1].name))
    write_atomically(page, html.encode())
    return comparison


def compare_schema(pipeline: str, day: date) -> list[str]:
    """How the reviewed schema has changed since a night was held against it, as a unified diff.

    Returns:
        Its lines; none if nothing has changed.
    """
    from ml import validation

    night = _day(pipeline, day)
    kept = _newest(night, "anomalies")
    return validation.compare_schema(night.pipeline, kept) if kept else ["(no schema was kept of that night)"]


def find_examples(pipeline: str, day: date) -> Artifact | None:
    """The examples of a day, landed with the present settings and columns; None if they are not."""
    return identities.find_examples(_day(pipeline, day))


def restore_schema(pipeline: str, day: date) -> str:
    """Make the schema that a night was held against the reviewed one again, and keep the present one.

    Returns:
        A sentence for a person.

    Raises:
        Misconfigured: if nothing was kept of that night.
    """
    from ml import validation

    night = _day(pipeline, day)
    aside = validation.restore_schema(night.pipeline, _kept(night, "anomalies"))
    if aside is None:
        return f"{night.pipeline.schema_path} is the schema of {night.name} already."
    return (
        f"{night.pipeline.schema_path} is the schema of {night.name} again. Every step that reads it runs "
        f"anew in the next night; review and commit the change. What it was until now is in {aside.name} "
        "beside it: delete that when you need it no more."
    )


def _day(pipeline: str, day: date) -> Day:
    from ml.pipelines import load_pipeline

    return Day.of(pipeline, **Window.of_day(day, load_pipeline(pipeline).landing.time_zone).as_json())


def _kept(day: Day, kind: str) -> Path:
    kept = _newest(day, kind)
    if kept is None:
        raise Misconfigured(
            f"nothing is kept of {day.name}: {day.store.root} has no {kind} of {day.pipeline.name} for it. "
            f"Expected a night that came so far; run it with `python -m ml validate_examples --pipeline "
            f"{day.pipeline.name} --day {day.name}` while the topic still has its records."
        )
    return kept


def _newest(day: Day, kind: str) -> Path | None:
    """The directory of the newest artifact of its kind, verified; None if there is none."""
    made = [
        manifest
        for manifest in day.store.manifests(day.pipeline.name, kind)
        if manifest.identity.window == day.window
    ]
    return day.store.open(made[-1].artifact) if made else None
