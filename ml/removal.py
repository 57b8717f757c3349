"""What housekeeping has taken away, remembered so that whoever asks for it is told when and why.

``<root>/<pipeline>/housekeeping/<day>.json`` says of each artifact of that day which was removed when that
was and why. A record counts only while the artifact is not there; it may have been made again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ml.durable import write_atomically
from ml.errors import Removed
from ml.manifest import SCHEME, STEP_OF

DIRECTORY = "housekeeping"


@dataclass(frozen=True)
class Address:
    """The parts of an artifact's address.

    Attributes:
        pipeline: its name.
        what_if: the name of the what-if that made it; empty for what normal nights make.
        kind: the artifact's kind.
        day: ISO 8601.
    """

    pipeline: str
    what_if: str
    kind: str
    day: str

    @classmethod
    def of(cls, uri: str) -> Address:
        """Take an address apart."""
        pipeline, *beside, kind, name = uri.removeprefix(SCHEME).split("/")
        return cls(pipeline, beside[-1] if beside else "", kind, name[: len("YYYY-MM-DD")])


@dataclass(frozen=True)
class Removal:
    """When an artifact was removed, and why.

    Attributes:
        at: ISO 8601, in UTC.
        reason: in words.
        day: of the artifact, ISO 8601, in the pipeline's time zone. Its address is named by the middle of
            the day in UTC, which is the day before where clocks are more than twelve hours ahead.
    """

    at: str
    reason: str
    day: str = ""


def note_removal(root: Path, uri: str, removal: Removal) -> None:
    """Remember a removal. Only under the lock of the pipeline's housekeeping, and before the removal itself.

    Args:
        root: of the store.
        uri: the artifact's address.
        removal: when and why.
    """
    address = Address.of(uri)
    known = removals_of_day(root, address.pipeline, address.day)
    content = {**{name: asdict(one) for name, one in known.items()}, uri: asdict(removal)}
    path = _path(root, address.pipeline, address.day)
    write_atomically(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())


def find_removal(root: Path, uri: str) -> Removal | None:
    """What is remembered of an artifact's removal; None if it was not removed, or was made again."""
    if (root / uri.removeprefix(SCHEME)).exists():
        return None
    address = Address.of(uri)
    return removals_of_day(root, address.pipeline, address.day).get(uri)


def last_removal(root: Path, address: Address) -> Removal | None:
    """The last removal of any artifact of an address's day, kind and what-if; None if none went."""
    removals = removals_of_day(root, address.pipeline, address.day)
    same = [removal for uri, removal in removals.items() if Address.of(uri) == address]
    return max(same, key=lambda removal: removal.at, default=None)


def removals_of_day(root: Path, pipeline: str, day: str) -> dict[str, Removal]:
    """Address → removal, of all artifacts of a day that were removed, also of those that were made again."""
    path = _path(root, pipeline, day)
    content = json.loads(path.read_bytes()) if path.exists() else {}
    return {uri: Removal(**one) for uri, one in content.items()}


def removed(uri: str, removal: Removal) -> Removed:
    """The failure of asking for a removed artifact, with what to do."""
    return Removed(
        f"{uri} was removed by housekeeping on {removal.at[:10]}: {removal.reason}. It was expected in the "
        f"store. {_how_to_make_again(Address.of(uri), removal.day)}"
    )


def _how_to_make_again(address: Address, day: str) -> str:
    step = STEP_OF.get(address.kind)
    if step is None:
        return "No night makes it again: what it has counted is over. The ledger says what was decided by it."
    what_if = f" --what-if {address.what_if}" if address.what_if else ""
    return (
        f"To make it again: clear {step} of that night, or `python -m ml {step} --pipeline "
        f"{address.pipeline} --day {day or address.day}{what_if}`. If the topic has lost that day by now, "
        "the step says so."
    )


def _path(root: Path, pipeline: str, day: str) -> Path:
    return root / pipeline / DIRECTORY / f"{day}.json"
