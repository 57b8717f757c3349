"""Exact counts of a landing; those of two ranges add up to those of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyarrow as pa

UNKNOWN_FIELDS_NAMED = 100
OTHER_FIELDS = "(other fields)"


@dataclass
class Span:
    """First and last of some moments, in milliseconds since the epoch; None of none."""

    first: int | None = None
    last: int | None = None

    @classmethod
    def of(cls, moments: np.ndarray[Any, Any]) -> Self:
        """The span of an array."""
        return cls(int(moments.min()), int(moments.max())) if moments.size else cls()

    def add(self, other: Span) -> None:
        """Widen to hold the other as well."""
        if other.first is not None and other.last is not None:
            self.first = other.first if self.first is None else min(self.first, other.first)
            self.last = other.last if self.last is None else max(self.last, other.last)


@dataclass
class Tally:
    """Counts of a scanned range: scanned = accepted + duplicates + all rejected + outside + late.

    Attributes:
        scanned: records read.
        accepted: records that are examples of the window.
        duplicates: examples that were dropped because they repeat one; None if nobody looked for them. What
            is said of accepted records below is said of them too.
        rejected: reason → records produced in the window that are no examples.
        reject_examples: reason → the first of them, ``{"partition", "offset"}``.
        late: examples of the window that came after it had settled.
        unknown_fields: field that the schema does not have → accepted records in which it is not null;
            of a sum, the first ``UNKNOWN_FIELDS_NAMED`` by name and all others together.
        events: event times of the accepted records.
        scanned_events: event times of all records that could be read.
        earlier: how many days ago → events of that day that have come since the last landing. They are no
            part of this day, and so none of its facts.
    """

    scanned: int = 0
    accepted: int = 0
    duplicates: int | None = None
    rejected: Counter[str] = field(default_factory=Counter)
    reject_examples: dict[str, dict[str, int]] = field(default_factory=dict)
    late: int = 0
    unknown_fields: Counter[str] = field(default_factory=Counter)
    events: Span = field(default_factory=Span)
    scanned_events: Span = field(default_factory=Span)
    earlier: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of_block(
        cls, scanned: int, times: np.ndarray[Any, Any], accepted_times: np.ndarray[Any, Any], late: int
    ) -> Self:
        """The counts of one block, without those of rejects and unknown fields."""
        return cls(
            scanned=scanned,
            accepted=accepted_times.size,
            late=late,
            events=Span.of(accepted_times),
            scanned_events=Span.of(times),
        )

    def count_rejects(self, rejects: pa.Table) -> None:
        """Count the rejects of a block by reason."""
        rows = zip(*(rejects[name].to_pylist() for name in ("reason", "partition", "offset")), strict=True)
        for reason, partition, offset in rows:
            self.rejected[reason] += 1
            self.reject_examples.setdefault(reason, {"partition": partition, "offset": offset})

    def count_unknown(self, unknown: Sequence[tuple[str, ...]], accepted: np.ndarray[Any, Any]) -> None:
        """Count the unknown fields of the accepted rows of a block."""
        if unknown:
            self.unknown_fields.update(name for row in accepted.tolist() for name in unknown[row])

    def add(self, other: Tally) -> None:
        """Add the counts of the range that follows."""
        self.scanned += other.scanned
        self.accepted += other.accepted
        self.late += other.late
        self.rejected.update(other.rejected)
        self.reject_examples = {**other.reject_examples, **self.reject_examples}
        self._count_fields(other.unknown_fields)
        self.events.add(other.events)
        self.scanned_events.add(other.scanned_events)
        self.earlier.update(other.earlier)

    def drop(self, duplicates: int) -> None:
        """Take repeated examples out of the accepted ones."""
        self.accepted -= duplicates
        self.duplicates = duplicates

    def as_facts(self) -> dict[str, Any]:
        """What is the window's own, however it was found; duplicates only if they were looked for."""
        return {
            "accepted": self.accepted,
            "rejected": dict(self.rejected),
            "reject_examples": self.reject_examples,
            "unknown_fields": dict(self.unknown_fields),
            "first_event": self.events.first,
            "last_event": self.events.last,
            **({} if self.duplicates is None else {"duplicates": self.duplicates}),
        }

    def as_measurements(self) -> dict[str, Any]:
        """What was met on the way: it depends on how far the scan reached, and when."""
        return {
            "scanned": self.scanned,
            "outside": self.outside,
            "late": self.late,
            "first_scanned_event": self.scanned_events.first,
            "last_scanned_event": self.scanned_events.last,
        }

    @property
    def outside(self) -> int:
        """Records that belong to no or to another window."""
        kept = self.accepted + (self.duplicates or 0)
        return self.scanned - kept - self.late - self.rejected.total()

    def _count_fields(self, counts: Counter[str]) -> None:
        """Keys made up of data must not fill the memory: names beyond a limit are counted together."""
        for name, count in counts.items():
            full = len(self.unknown_fields) >= UNKNOWN_FIELDS_NAMED
            self.unknown_fields[OTHER_FIELDS if full and name not in self.unknown_fields else name] += count
