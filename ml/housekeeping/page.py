"""The plan of a housekeeping, or what came of it, for a person."""

from __future__ import annotations

from typing import Any

from ml.terminal import render_table

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def render_plan(plan: dict[str, Any]) -> str:
    """Draw a plan as tables: what may go and what stays, each with its reason.

    Args:
        plan: as `ml.steps.plan_housekeeping` or `ml.steps.housekeep` returned it.
    """
    spared = plan["spared"]
    heading = "Would be removed:" if plan["dry_run"] else "Removed:"
    going = [
        {
            "what": one["name"],
            "size": render_size(one["bytes"]),
            "why": _why(one, spared),
        }
        for one in plan["outgoing"]
    ]
    staying = [
        {"what": f"version {number}", "why": reason} for number, reason in plan["kept_versions"].items()
    ]
    staying += [{"what": f"{count} artifacts", "why": reason} for reason, count in plan["kept"].items()]
    parts = [
        heading if going else "Nothing is to be removed.",
        render_table(going, ("what", "size", "why")) if going else "",
        "Stays:",
        render_table(staying, ("what", "why")),
        plan["summary"],
    ]
    return "\n".join(part for part in parts if part)


def _why(one: dict[str, Any], spared: dict[str, str]) -> str:
    return f"stays after all: {spared[one['name']]}" if one["name"] in spared else str(one["reason"])


def render_size(count: float) -> str:
    """Bytes in the unit that gives a number below 1024."""
    for unit in UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {UNITS[-1]}"


def summarise(outgoing: list[dict[str, Any]], verb: str) -> str:
    """One sentence: how many versions and artifacts, and how much room."""
    versions = sum(one["name"].startswith("version ") for one in outgoing)
    room = render_size(sum(one["bytes"] for one in outgoing))
    return (
        f"{_counted(versions, 'version')} and {_counted(len(outgoing) - versions, 'artifact')} {verb}: {room}"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"
