"""What the plans of single days come to: totals, and what a person should know before starting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from ml.backfill.chain import NOT_MADE
from ml.backfill.day_plan import DayPlan
from ml.backfill.reasons import NEVER_MADE
from ml.errors import WindowExpired
from ml.release import Served

COMMIT_SHOWN = 10
# Every first run of a day reads what serves, so that is no reason by itself.
PRODUCTION = "production"
DECIDED = {
    "refresh": "anew, with all late events that the topic holds by then",
    "accept_gap": "with what the topic still holds",
}
IN_ORDER = (
    "run the days oldest first and one at a time: a night takes the days that it learns from as they are "
    "decided by then. After another order run them once more; the plan says which nights would learn anew."
)
STATES = {
    "kept": "kept as they are",
    "to_land": "to land",
    "to_finish": "to go on with",
    "to_recompute": "to recompute",
    "rejected": "rejected",
    "gaps": "gone from Kafka",
}


def count_days(plans: Sequence[DayPlan]) -> dict[str, Any]:
    """Count the days by their state, one of `STATES`, and add up the seconds."""
    known = [plan["seconds"] for plan in plans if plan["seconds"] is not None]
    return {
        "days": len(plans),
        **{state: sum(state_of(plan) == state for plan in plans) for state in STATES},
        "may_publish": sum(plan["publishes"] for plan in plans),
        "seconds": round(sum(known), 1) if known else None,
        "no_history": sorted({kind for plan in plans for kind in plan["no_history"]}),
    }


def is_gap(plan: DayPlan) -> bool:
    """Whether the day would have to be landed and the topic no longer holds it."""
    return plan["rejected"] == WindowExpired.__name__


def state_of(plan: DayPlan) -> str:
    """Which one of `STATES` a day is in."""
    new = [step for step in plan["steps"] if step["outcome"] == "new"]
    if plan["rejected"]:
        return "gaps" if is_gap(plan) else "rejected"
    if not new:
        return "kept"
    if not plan["landed_before"]:
        return "to_land"
    again = any(step["cause"] and step["why"] != NEVER_MADE for step in new)
    return "to_recompute" if again else "to_finish"


def find_concerns(plans: Sequence[DayPlan], served: Served | None) -> list[str]:
    """Say in sentences what stands in the way, and what may surprise."""
    concerns = [_gaps(plans), *_decided(plans), _empty(plans), *_caveats(plans), _commits(plans)]
    if served and not served.aliased:
        concerns.append(
            f"the model server's label names {served.version or 'no version'}, and the alias production in "
            "MLflow another model. Unless a lost push explains it, every night would stop at "
            "resolve_production; see docs/operations.md."
        )
    return [concern for concern in concerns if concern]


def summarise(totals: dict[str, Any], served: Served | None) -> str:
    """The totals in one sentence."""
    parts = [f"{totals[state]} {words}" for state, words in STATES.items() if totals[state]]
    days = "1 day" if totals["days"] == 1 else f"{totals['days']} days"
    return f"{days}: {', '.join(parts)}. {describe_time(totals)}. Published: {_published(totals, served)}."


def describe_time(estimate: Any) -> str:
    """An estimate in words; says for what there is no history."""
    seconds, unknown = estimate["seconds"], ", ".join(estimate["no_history"])
    if seconds is None:
        return f"No history to estimate the time from ({unknown})"
    time = f"About {timedelta(seconds=round(seconds))} of work, one day at a time"
    return f"{time}, without {unknown}, which have no history" if unknown else time


def _published(totals: dict[str, Any], served: Served | None) -> str:
    if served is None:
        return "unknown, what serves could not be asked"
    if served.version is None or served.watermark is None:
        return f"nothing is served yet; {totals['may_publish']} days may be, if the gate passes them"
    fence = f"{served.version} serves and has seen data up to {served.watermark:%Y-%m-%d %H:%M} UTC"
    if not totals["may_publish"]:
        return f"nothing; {fence}"
    return f"at most {totals['may_publish']} newer days, if the gate passes them; {fence}"


def _gaps(plans: Sequence[DayPlan]) -> str:
    gaps = [plan for plan in plans if is_gap(plan)]
    lost = [f"{plan['day']} ({_lost(topic)})" for plan in gaps if (topic := plan["topic"])]
    if not lost:
        return ""
    return (
        f"the topic no longer holds these days whole: {', '.join(lost)}. Each would stop with WindowExpired "
        "and be left out of the training windows of later days, unless it is landed with --accept-gap first."
        f"{_removed(gaps)}"
    )


def _removed(gaps: Sequence[DayPlan]) -> str:
    removed = [f"{plan['day']} ({plan['removed']})" for plan in gaps if plan["removed"]]
    if not removed:
        return ""
    return (
        f" They had been landed, but housekeeping took their examples: {', '.join(removed)}. To keep landed "
        "days for longer from now on, raise housekeeping.examples_days."
    )


def _lost(topic: dict[str, Any]) -> str:
    return f"{topic['lost']:.0%} lost" if topic["lost"] else str(topic["retention"])


def _decided(plans: Sequence[DayPlan]) -> Iterator[str]:
    """What the landings would decide: it holds for every later landing of these days."""
    landed_anew = [plan for plan in plans if not plan["landed"] and not plan["rejected"]]
    for kind, words in DECIDED.items():
        if days := [plan["day"] for plan in landed_anew if kind in plan["decision"]]:
            yield f"{', '.join(days)} would be landed {words}, and stay so for every later landing."
    if any(plan["decision"] for plan in landed_anew if plan is not plans[-1]):
        yield IN_ORDER


def _empty(plans: Sequence[DayPlan]) -> str:
    empty = [plan["day"] for plan in plans if plan["landed"] is None and _has_no_records(plan)]
    if not empty:
        return ""
    return (
        f"the topic has no record that was produced on {', '.join(empty)}; each would stop with NoRecords, "
        "unless records of it were produced later."
    )


def _caveats(plans: Sequence[DayPlan]) -> Iterator[str]:
    for plan in plans:
        yield from plan["landed"]["caveats"] if plan["landed"] else ()


def _has_no_records(plan: DayPlan) -> bool:
    topic = plan["topic"]
    return topic is not None and topic["records"] == 0 and not is_gap(plan)


def _commits(plans: Sequence[DayPlan]) -> str:
    commits = sorted({commit[:COMMIT_SHOWN] for plan in plans for commit in plan["other_commits"]})
    if not commits:
        return ""
    days = sum(bool(plan["other_commits"]) for plan in plans)
    return (
        f"results of {days} days that would be kept were made by other commits ({', '.join(commits)}). "
        "Code alone recomputes nothing: whoever changes what a step does raises its revision (docs/adr/0001)."
    )


def causes(plan: DayPlan) -> Iterator[str]:
    """Why the day would be run, or cannot be, first cause first.

    The first reading of production is none by itself.
    """
    if is_gap(plan):
        yield next(f"{step['kind']}: {step['why']}" for step in plan["steps"] if step["outcome"] == NOT_MADE)
    found = [step for step in plan["steps"] if step["cause"] and step["outcome"] == "new"]
    telling = [step for step in found if step["kind"] != PRODUCTION] or found
    yield from (f"{step['kind']}: {step['why']}" for step in telling)
    yield from (f"lands {day} besides" for day in plan["also_lands"])
