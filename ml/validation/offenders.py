"""Finding the records that break a rule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pyarrow.compute as pc

from ml.validation.counts import ValueCounter
from ml.validation.examples import OFFSET, PARTITION, read_batches
from ml.validation.rules import Rule

SHOWN_VALUES = 5


class Example(TypedDict):
    """One offending record: where it lies in the topic, and its value."""

    partition: int
    offset: int
    value: Any


@dataclass(frozen=True)
class Offenders:
    """The records that break a rule.

    Attributes:
        count: how many there are.
        examples: the first of them, in the order of the examples.
        values: their most frequent values with counts; empty if the rule does not show them.
    """

    count: int
    examples: list[Example]
    values: dict[str, int]


def find_offenders(examples: Path, field: str, rule: Rule, shown: int) -> Offenders:
    """Read one column of a landed day and gather what breaks a rule.

    Args:
        examples: the directory of the landed day.
        field: the column.
        rule: what it must not do.
        shown: how many offending records to name.
    """
    count, first, values = 0, list[Example](), ValueCounter()
    for batch in read_batches(examples, [field, PARTITION, OFFSET]):
        broken = batch.filter(pc.fill_null(rule.breaks(batch.column(0)), False))
        count += broken.num_rows
        first += [_example(row) for row in broken.slice(0, shown - len(first)).to_pylist()]
        if rule.shows_values:
            values.add(broken.column(0))
    top = values.table().slice(0, SHOWN_VALUES).to_pydict()
    return Offenders(count, first, dict(zip(top["value"], top["count"], strict=True)))


def _example(row: dict[str, Any]) -> Example:
    field, partition, offset = row.values()
    unspeakable = isinstance(field, float) and not math.isfinite(field)
    return Example(partition=partition, offset=offset, value=str(field) if unspeakable else field)
