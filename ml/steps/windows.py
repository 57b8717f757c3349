"""Days that a person names, as windows. Airflow's nights are given theirs."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

from ml.artifact import Window
from ml.errors import Misconfigured
from ml.pipelines import load_pipeline


def settled_window(pipeline: str, day: date, now: datetime | None = None) -> Window:
    """The window of a day that is over and has settled.

    A landing fixes its offsets for good, so a day that is landed too early would stay a smaller day. In
    Airflow a night waits for this moment before its first step; no step reads the clock.

    Args:
        pipeline: the pipeline's name.
        day: in the pipeline's time zone.
        now: by default the time of the machine.

    Raises:
        Misconfigured: if the day's late events are still waited for, naming the moment until which they are.
    """
    landing = load_pipeline(pipeline).landing
    window = Window.of_day(day, landing.time_zone)
    settled = window.end + timedelta(minutes=landing.settle_minutes)
    now = now or datetime.now(timezone.utc)
    if now < settled:
        raise Misconfigured(
            f"{day} settles at {settled:%Y-%m-%d %H:%M} UTC, {landing.settle_minutes} minutes after its end "
            f"(landing.settle_minutes), and it is {now.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC. Landed "
            "before that moment it would stay a smaller day for good. Expected a day that has settled: wait "
            "until then, or name an earlier day."
        )
    return window


def backfill_windows(pipeline: str, first: str, last: str, now: datetime | None = None) -> list[Window]:
    """The windows of the days from ``first`` to ``last``, both included.

    Args:
        pipeline: the pipeline's name.
        first: YYYY-MM-DD, in the pipeline's time zone.
        last: likewise.
        now: by default the time of the machine.

    Raises:
        Misconfigured: if they are no days, are in the wrong order, or the last one has not settled.
    """
    begin, end = _day(first), _day(last)
    if begin > end:
        raise Misconfigured(
            f"the first day, {begin}, lies after the last, {end}; expected it at or before it. Swap them."
        )
    settled_window(pipeline, end, now)
    zone = load_pipeline(pipeline).landing.time_zone
    return [Window.of_day(begin + timedelta(days=after), zone) for after in range((end - begin).days + 1)]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Misconfigured(f"{text!r} is no day ({error}); expected YYYY-MM-DD, like 2026-11-20.") from error
