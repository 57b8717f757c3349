"""The step from the topic to a landed day, with what a person has decided about it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ml.artifact import Artifact
from ml.connections import KafkaConnection
from ml.day import Day
from ml.decisions import Decision, Decisions, deciding, refuse_in_what_if
from ml.errors import WindowExpired
from ml.identities import find_examples, identify_examples, identify_offsets
from ml.manifest import Identity
from ml.removal import find_removal
from ml.training_window import days_before

if TYPE_CHECKING:
    from ml import landing

# Late events are looked for in the days of the training window, and in a week at least: that is how long a
# phone may keep its events to itself over a weekend or a journey.
LATE_DAYS = 7


def land_examples(
    pipeline: str,
    start: str,
    end: str,
    accept_gap: str = "",
    refresh: str = "",
    *,
    kafka: KafkaConnection,
) -> Artifact:
    """Land one window of the topic as Parquet, with its offsets and what was rejected.

    What a person decides about a day counts once the day is landed by it, and then for every later landing
    of the day, in whichever run. See `ml.decisions`.

    Args:
        pipeline: the pipeline's name.
        start: of the window.
        end: of the window.
        accept_gap: a reason to go on with what is left, if the topic has lost some of the window.
        refresh: a reason to land the window anew, with the late events that have come by now.
        kafka: how to reach the brokers.

    Raises:
        Unavailable: if no broker answers.
        Misconfigured: if topic or credentials are wrong.
        DataRejected: if the window is empty, expired or holds too many rejects.
    """
    from ml import landing

    day = Day.of(pipeline, start, end)
    if accept_gap or refresh:
        refuse_in_what_if(day)
        examples = _decide(day, accept_gap, refresh, kafka)
    else:
        examples = _land(day, Decisions.of(day).standing, kafka)
    landing.check_landed(day.pipeline, day.store.manifest(examples).known, examples)
    return examples


def _decide(day: Day, accept_gap: str, refresh: str, kafka: KafkaConnection) -> Artifact:
    """Land a day as a person wants it, and remember the decision when that has come to its end."""
    with deciding(day) as decisions:
        decided = decisions.adding("refresh", refresh)
        try:
            examples = _land(day, decided.standing, kafka)
            _check_refreshed(day, decisions.standing, examples)
        except WindowExpired:
            accepting = decided.adding("accept_gap", accept_gap)
            if accepting == decided:
                raise
            decided = accepting
            examples = _land(day, decided.standing, kafka)
        decided.save()
    return examples


def _check_refreshed(day: Day, decision: Decision, examples: Artifact) -> None:
    """Hold newly landed examples against those that the day had by a decision, if it had any."""
    from ml import landing

    if before := find_examples(day, decision):
        landing.check_refreshed(day.store.manifest(before).facts, day.store.manifest(examples).facts)


def _land(day: Day, decision: Decision, kafka: KafkaConnection) -> Artifact:
    identity = identify_offsets(day, decision)
    try:
        return _land_offsets(day, identity, decision, kafka)
    except WindowExpired as expired:
        if removal := find_removal(day.store.root, identity.uri):
            raise WindowExpired(
                f"{expired} {day.name} had been landed before, and housekeeping removed that on "
                f"{removal.at[:10]}: {removal.reason}.",
                expired.evidence,
            ) from expired
        raise


def _land_offsets(day: Day, identity: Identity, decision: Decision, kafka: KafkaConnection) -> Artifact:
    from ml import landing

    offsets = day.store.produce(
        identity, lambda draft: landing.resolve_offsets(day.pipeline, day.window, decision, kafka, draft)
    )
    earlier = None if decision.refresh else _earlier_days(day)
    source = landing.Source(day.store.open(offsets), earlier, kafka)
    return day.store.produce(
        identify_examples(day, offsets),
        lambda draft: landing.land_examples(day.pipeline, day.window, source, draft),
    )


def _earlier_days(day: Day) -> landing.EarlierDays:
    """The days whose late events tonight may show."""
    from ml import landing

    windows = days_before(day, max(LATE_DAYS, day.pipeline.training.window_days - 1))
    days = [landing.find_earlier(replace(day, window=window)) for window in windows]
    return landing.EarlierDays.of(day.pipeline, days)
