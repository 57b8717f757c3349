"""Where one can go back to, in a line each for who chooses at night.

Airflow asks whenever it parses the DAG, so only the store's small files are read, no server is asked, and a
damaged ledger hides no version: it costs the words beside its number.
"""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from ml.errors import RetrainingError
from ml.release.history import GOLDEN, arrivals, golden_version, rolled_back, version_before
from ml.release.production import Records
from ml.release.versions import Version
from ml.release.wish import PREVIOUS

log = logging.getLogger(__name__)

NONE = "none that the ledger knows of"
NO_VERSION = 0
MAX_REASON = 60
LEFT = {"rollback": "ROLLED BACK", "withdraw": "WITHDRAWN as canary"}

Line = Mapping[str, Any]


def destinations(records: Records) -> dict[str, str]:
    """``previous``, ``golden`` and every version that can be gone back to, the newest first → what it is.

    A version can be gone back to if it has golden requests, for then it has answered right once, and its
    model is still in the store, for then its files can be staged if the model server has them no more.
    """
    numbers = records.known_answers.versions()
    versions = [version for number in numbers if (version := _find(number, records))]
    lines = _lines(records)
    named = _named(records, lines)
    fates = _fates(numbers, lines, records.pipeline.serving.label) if lines else {}
    told = {version.number: _tell(version, fates, records) for version in versions}
    ways = {name: f"{name}: {told.get(number, NONE)}" for name, number in named.items()}
    marks = {number: f", {name}" for name, number in named.items()}
    return {**ways, **{str(number): f"{line}{marks.get(number, '')}" for number, line in told.items()}}


def _find(number: int, records: Records) -> Version | None:
    version = records.versions.find(number)
    try:
        if version:
            records.store.manifest(version.model)
    except RetrainingError:
        return None
    return version


def _lines(records: Records) -> list[Line]:
    try:
        return list(records.ledger.entries())
    except RetrainingError as error:
        log.error("going back to %s is offered by number only: %s", records.pipeline.name, error)
        return []


def _named(records: Records, lines: Sequence[Line]) -> dict[str, int]:
    label = records.pipeline.serving.label
    previous = version_before(lines, label, records.ledger.last_served) if lines else None
    return {PREVIOUS: previous or NO_VERSION, GOLDEN: golden_version(lines) or NO_VERSION}


def _fates(numbers: Iterable[int], lines: Sequence[Line], label: str) -> dict[int, str]:
    """What the ledger says became of each version."""
    done = arrivals(lines, label)
    fates = dict.fromkeys(numbers, "never served to all")
    fates |= {one.to: f"served until {_minute(following.line)}" for one, following in pairwise(done)}
    for number, line in rolled_back(lines).items():
        reason = textwrap.shorten(line["reason"], MAX_REASON, placeholder=" …")
        fates[number] = f"{LEFT[line['action']]} {_minute(line)}: {reason}"
    if done:
        fates[done[-1].to] = f"SERVES since {_minute(done[-1].line)}"
    return fates


def _tell(version: Version, fates: Mapping[int, str], records: Records) -> str:
    day = f"data of {version.window.day(records.pipeline.landing.time_zone)}"
    return ", ".join(filter(None, [str(version.number), day, fates.get(version.number)]))


def _minute(line: Line) -> str:
    """In UTC."""
    return f"{datetime.fromisoformat(line['time']):%Y-%m-%d %H:%M}"
