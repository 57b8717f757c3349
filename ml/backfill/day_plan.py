"""The plan of one day of a backfill, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypedDict

from ml.backfill.archive import Archive
from ml.backfill.chain import Chain, Link
from ml.backfill.outlook import foresee
from ml.code_version import code_version
from ml.landing import Remains
from ml.release import Served


class DayPlan(TypedDict):
    """What a backfill would do with one day.

    Keys:
        day: the calendar day in the pipeline's time zone, ISO 8601.
        window: its ``start`` and ``end``, ISO 8601 in UTC.
        landed: counts of the examples that a run would use, and their ``caveats``; None if it would have to
            land them.
        decision: how the day is landed, or would be by this backfill, other than by the rule: ``refresh``,
            ``accept_gap``, each with the reason.
        landed_before: whether the day was ever landed, with these settings or others.
        removed: when and why housekeeping took its examples; empty if there are some, or never were any.
        topic: what Kafka still holds: ``retention``, ``lost``, ``records``; None if it did not say.
        rejected: the error that the day would stop with, as far as that is known; empty if none.
        steps: artifact by artifact, ``kind``, ``outcome``, ``why`` and whether it is the ``cause``.
        also_lands: earlier days that its training window would land, and no day before it.
        seconds: that making what is new takes, by history; None without any.
        no_history: the kinds that would be made and were never made before.
        publishes: whether it may come to a publication.
        publication: the same in words.
        other_commits: that made what would be kept, and differ from the code of today.
    """

    day: str
    window: dict[str, str]
    landed: dict[str, Any] | None
    decision: dict[str, str]
    landed_before: bool
    removed: str
    topic: dict[str, Any] | None
    rejected: str
    steps: list[dict[str, Any]]
    also_lands: list[str]
    seconds: float | None
    no_history: list[str]
    publishes: bool
    publication: str
    other_commits: list[str]


def plan_day(
    chain: Chain, also: Sequence[Chain], archive: Archive, remains: Remains | None, served: Served | None
) -> DayPlan:
    """Say what a run of this day would do.

    Args:
        chain: the traced night.
        also: days of its training window that it would land besides.
        archive: knows how long each step takes.
        remains: what the topic still holds of the day; None if that is not known.
        served: what serves; None if that is not known.
    """
    outlook = foresee(chain, served)
    made = [(one, link.kind) for one in (chain, *also) for link in one.new]
    seconds = {(one.day.name, kind): archive.seconds(kind, _rows(one)) for one, kind in made}
    known = [value for value in seconds.values() if value is not None]
    return DayPlan(
        day=chain.day.name,
        window=chain.day.window.as_json(),
        landed=_counts(chain),
        decision=chain.decision.as_json(),
        landed_before=archive.newest("examples", chain.day.window) is not None,
        removed=chain.removal(),
        topic=asdict(remains) if remains else None,
        rejected=chain.rejected,
        steps=[_step(link) for link in chain.links.values()],
        also_lands=[one.day.name for one in also],
        seconds=round(sum(known), 1) if known or not made else None,
        no_history=sorted({kind for (_, kind), value in seconds.items() if value is None}),
        publishes=outlook.publishes,
        publication=outlook.words,
        other_commits=_other_commits(chain),
    )


def _counts(chain: Chain) -> dict[str, Any] | None:
    known = chain.known("examples")
    if not known:
        return None
    rejects = sum(known["rejected"].values())
    counts = {"examples": known["accepted"], "rejects": rejects, "late": known["late"]}
    return {**counts, "caveats": chain.caveats()}


def _rows(chain: Chain) -> int | None:
    return chain.known("examples").get("accepted")


def _step(link: Link) -> dict[str, Any]:
    return {"kind": link.kind, "outcome": link.outcome, "why": link.why, "cause": link.cause}


def _other_commits(chain: Chain) -> list[str]:
    today = code_version()["commit"]
    commits = {link.commit for link in chain.links.values()} - {None, today}
    return sorted(commit for commit in commits if commit) if today else []
