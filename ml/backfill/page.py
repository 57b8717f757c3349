"""The plan of a backfill for a person."""

from __future__ import annotations

from datetime import timedelta

from rich.table import Table

from ml.backfill.day_plan import DayPlan
from ml.backfill.findings import PRODUCTION, causes
from ml.backfill.plan import Plan
from ml.terminal import render

COLUMNS = ("day", "landed", "topic", "would be made", "why", "time", "published")


def render_plan(plan: Plan, width: int | None = None) -> str:
    """Draw a plan as a table, what to know below it, and the totals.

    Args:
        plan: as `ml.backfill.plan_backfill` returns it.
        width: of the table in characters; by default `ml.terminal.terminal_width`.
    """
    table = Table(*COLUMNS, title=f"Backfill of {plan['pipeline']}", title_justify="left", show_lines=True)
    for day in plan["days"]:
        table.add_row(*_cells(day))
    return render(table, width, [*(f"! {finding}" for finding in plan["findings"]), plan["summary"]])


def _cells(day: DayPlan) -> tuple[str, ...]:
    return (
        day["day"],
        _landed(day),
        _topic(day),
        _made(day),
        "\n".join(causes(day)),
        _time(day),
        day["publication"],
    )


def _landed(day: DayPlan) -> str:
    landed = day["landed"]
    if landed is None:
        return "removed" if day["removed"] else "otherwise" if day["landed_before"] else "no"
    counts = [f"{landed['examples']:,} examples"]
    counts += [f"{landed[name]:,} {name}" for name in ("rejects", "late") if landed[name]]
    decided = [f"by decision ({', '.join(day['decision'])})"] if day["decision"] else []
    return "\n".join([*counts, *decided, *([day["rejected"]] if day["rejected"] else [])])


def _topic(day: DayPlan) -> str:
    topic = day["topic"]
    if topic is None:
        return "unknown"
    lost = f", {topic['lost']:.0%} lost" if topic["lost"] else ""
    records = "" if topic["records"] is None else f"\n{topic['records']:,} records"
    return f"{topic['retention']}{lost}{records}"


def _made(day: DayPlan) -> str:
    if all(step["outcome"] == "new" for step in day["steps"] if step["kind"] != PRODUCTION):
        return "everything"
    return ", ".join(step["kind"] for step in day["steps"] if step["outcome"] == "new") or "nothing"


def _time(day: DayPlan) -> str:
    if day["seconds"] is None:
        return "?"
    known, unknown = str(timedelta(seconds=round(day["seconds"]))), day["no_history"]
    return f"{known} + ?" if unknown else known
