"""What a person has to know of a look, told once when it begins and once when it is over.

A look every few minutes finds the same again and again. What was told is kept in ``release/watch.json``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml.artifact import canonical_json
from ml.config import Pipeline
from ml.durable import write_atomically
from ml.store import Store

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Concern:
    """Something that a person has to know.

    Attributes:
        key: what it is the same as at the next look; the text may differ.
        text: what happened and what to do.
        at_once: told by the first look that finds it. Others may pass by themselves, such as a server's
            restart, and are told by the second.
        over: what is told when it is over; may be empty.
        hides_others: whether nothing else could be looked at, so that no other is known to be over.
    """

    key: str
    text: str
    at_once: bool = False
    over: str = ""
    hides_others: bool = False


class Notebook:
    """What the watch of one pipeline remembers from look to look."""

    def __init__(self, pipeline: Pipeline, store: Store) -> None:
        self.path = store.root / pipeline.name / "release" / "watch.json"
        self.lock = f"{pipeline.name}/release/watch"

    def read(self) -> Record | None:
        """What is remembered; None before the first look.

        ``seen_at``, when a look last saw all that it looks at; ``concerns``; ``owed``, what is to be told
        when those that were told are over; and ``untold``, the news that no message is known to have brought.
        """
        return json.loads(self.path.read_bytes()) if self.path.exists() else None

    def write(self, record: Record) -> None:
        """Remember."""
        write_atomically(self.path, canonical_json(record).encode())

    def mark_told(self, news: Collection[str]) -> None:
        """Remember that a message has brought these news."""
        if record := self.read():
            untold = [text for text in record["untold"] if text not in news]
            self.write({**record, "untold": untold})


def tell_once(found: Sequence[Concern], before: Record | None, now: datetime) -> tuple[list[str], Record]:
    """What is news among the concerns of a look, and what is to be remembered for the next.

    What was news before and was not told, because Slack was away or the teller was killed, is news still.

    Args:
        found: the concerns of this look.
        before: as the last look left it.
        now: the moment of this look.
    """
    known = before["concerns"] if before else {}
    kept, news = {}, list(before.get("untold", ())) if before else []
    owed = set(before.get("owed", ())) if before else set()
    for concern in found:
        last = known.get(concern.key)
        told = bool(last and last["told"])
        if not told and (concern.at_once or last):
            news.append(concern.text)
            told = True
        since = last["since"] if last else now.isoformat(timespec="seconds")
        kept[concern.key] = {"since": since, "told": told}
        owed |= {concern.over} if told and concern.over else set()
    # What has become another concern that ends by the same words is not over.
    hidden = any(concern.hides_others for concern in found)
    over = set() if hidden else owed - {concern.over for concern in found}
    news += sorted(over)
    seen_at = before["seen_at"] if before else None
    return news, {"concerns": kept, "owed": sorted(owed - over), "seen_at": seen_at, "untold": news}
