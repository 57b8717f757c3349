"""Why an artifact would be made: what differs between its identity and the newest one of the same day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml.manifest import Identity
from ml.removal import Address, Removal, find_removal, last_removal

NEVER_MADE = "not made yet"
OTHERWISE = "not made with these settings and inputs"
SETTINGS_NAMED = 4
ABSENT = "(none)"


def explain_new(wanted: Identity, last: Identity | None, root: Path) -> str:
    """Say in a phrase why the artifact of an identity is not there.

    Args:
        wanted: the identity that a step would use today.
        last: the newest one of the same kind and day in the store; None if there is none.
        root: of the store, which remembers what housekeeping took.
    """
    if removal := find_removal(root, wanted.uri):
        return explain_removal(removal)
    if wanted.variant:
        return f"the what-if {wanted.variant['name']} makes its own"
    if last is None:
        removal = last_removal(root, Address.of(wanted.uri))
        return f"{OTHERWISE}; others were {explain_removal(removal)}" if removal else NEVER_MADE
    return "; ".join(_differences(wanted, last))


def explain_removal(removal: Removal) -> str:
    """Say in a phrase what housekeeping did."""
    return f"removed by housekeeping on {removal.at[:10]}: {removal.reason}"


def changed_settings(wanted: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """By dotted key, the value that was used and the one of today; ``(none)`` where there is none."""
    today, then = dict(_flatten(wanted)), dict(_flatten(last))
    return {
        key: (then.get(key, ABSENT), today.get(key, ABSENT))
        for key in sorted({*today, *then})
        if then.get(key, ABSENT) != today.get(key, ABSENT)
    }


def _differences(wanted: Identity, last: Identity) -> Iterator[str]:
    changed = changed_settings(wanted.config, last.config)
    if changed.pop("columns", None):
        yield "the columns of schema.pbtxt changed"
    if changed.pop("schema", None):
        yield "schema.pbtxt changed"
    if changed:
        yield _settings(changed)
    if inputs := _changed_inputs(wanted, last):
        yield f"other {', '.join(inputs)} than last time"
    if wanted.revision != last.revision:
        yield f"the step's revision is {wanted.revision}, was {last.revision}"


def _settings(changed: Mapping[str, tuple[Any, Any]]) -> str:
    named = [
        f"{key} {_shown(was)} → {_shown(today)}"
        for key, (was, today) in list(changed.items())[:SETTINGS_NAMED]
    ]
    more = len(changed) - len(named)
    return ", ".join(named) + (f" and {more} more settings" if more else "")


def _shown(value: Any) -> Any:
    return ABSENT if value == "" else value


def _changed_inputs(wanted: Identity, last: Identity) -> list[str]:
    today, then = wanted.content()["inputs"], last.content()["inputs"]
    return [role for role in sorted({*today, *then}) if today.get(role) != then.get(role)]


def _flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, part in value.items():
        if isinstance(part, Mapping) and part:
            yield from _flatten(part, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", part
