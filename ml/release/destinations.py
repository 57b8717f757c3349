"""Where one can go back to, in a line each for who chooses at night.

Airflow asks whenever it parses the DAG, so only the store's small files are read, no server is asked, and a
damaged ledger hides no version: it costs the words beside its number.
"""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from ml.errors import RetrainingError
from ml.release.history import GOLDEN, golden_version, passages, rolled_back, version_before
from ml.release.production import Records
from ml.release.versions import Version
from ml.release.wish import PREVIOUS

log = logging.getLogger(__name__)

NONE = "none that the ledger knows of"
MAX_REASON = 60

Line = Mapping[str, Any]


def destinations(records: Records) -> dict[str, str]:
    """``previous``, ``golden`` and every version that can be gone back to, the newest first → what it is.

    A version can be gone back to if it has golden requests, for then it has answered right once, and its
    model is still in the store, for then its files can be staged if the model server has them no more.
    """
    versions = [version for number in records.known_answers.versions() if (version := _find(number, records))]
    lines = _lines(records)
    named, said = _named(records, lines), _words(records, lines)
    told = {str(version.number): _tell(version, named, said, records) for version in versions}
    ways = {name: f"{name}: {told.get(str(number), NONE)}" for name, number in named.items()}
    return {**ways, **told}


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


def _named(records: Records, lines: Sequence[Line]) -> dict[str, int | None]:
    label = records.pipeline.serving.label
    previous = version_before(lines, label, records.ledger.last_served) if lines else None
    return {PREVIOUS: previous, GOLDEN: golden_version(lines)}


def _words(records: Records, lines: Sequence[Line]) -> dict[int, list[str]]:
    """What the ledger has to say of each version."""
    done = [passage for passage in passages(lines, records.pipeline.serving.label) if passage.moved_at]
    words = {number: ["never served to all"] for number in records.known_answers.versions() if lines}
    for passage, following in pairwise(done):
        words[passage.to] = [f"served until {_minute(following.line['time'])}"]
    if done:
        words[done[-1].to] = [f"SERVES since {_minute(done[-1].line['time'])}"]
    for number, line in rolled_back(lines).items():
        reason = textwrap.shorten(line["reason"], MAX_REASON, placeholder=" …")
        words.setdefault(number, []).append(f"left {_minute(line['time'])} ({reason})")
    return words


def _tell(
    version: Version, named: Mapping[str, int | None], words: Mapping[int, Sequence[str]], records: Records
) -> str:
    marks = [name for name, number in named.items() if number == version.number]
    day = f"data of {version.window.day(records.pipeline.landing.time_zone)}"
    return ", ".join([str(version.number), day, *words.get(version.number, []), *marks])


def _minute(time: str) -> str:
    return f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M} UTC"
