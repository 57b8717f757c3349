"""Cutting the held-out rows by the slices that ``pipeline.yaml`` names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.config import Slice
from ml.errors import Misconfigured

MAX_VALUES = 100
MISSING = "_missing_"
OTHER = "_other_"


@dataclass(frozen=True, eq=False)
class Partition:
    """The held-out rows divided by one configured slice.

    Attributes:
        name: the feature that it is ``by``, or the slice's own name.
        slices: names of the slices, such as ``device.mobile``.
        codes: uint8 [rows]; 0 for a row in none of them, else 1 + its place in ``slices``.
    """

    name: str
    slices: tuple[str, ...]
    codes: NDArray[np.uint8]


def slice_columns(slices: Iterable[Slice]) -> list[str]:
    """The columns of the examples that the slices are cut by, sorted."""
    return sorted({name for slice_ in slices for name in ([slice_.by] if slice_.by else slice_.where)})


def partition(slices: Iterable[Slice], columns: pa.Table) -> list[Partition]:
    """Cut rows by every configured slice.

    A slice ``by`` a feature with more than `MAX_VALUES` values names the most frequent ones and gathers the
    others under ``_other_``; rows without a value are under ``_missing_``.

    Args:
        slices: as configured.
        columns: `slice_columns`, dictionary-encoded, with a row for each row to cut.

    Raises:
        Misconfigured: if two configured slices would have the same name.
    """
    partitions = [_by(slice_.by, columns) if slice_.by else _where(slice_, columns) for slice_ in slices]
    names = [name for part in partitions for name in part.slices]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise Misconfigured(
            f"pipeline.yaml: slices: expected every slice to have its own name, found {repeated} more than "
            "once. Rename or remove one."
        )
    return partitions


def _by(feature: str, columns: pa.Table) -> Partition:
    values, places = _encoded(columns[feature])
    counts = np.bincount(places, minlength=len(values))
    present = sorted(np.flatnonzero(counts), key=lambda place: (-counts[place], str(values[place])))
    names = {
        place: MISSING if values[place] is None else str(values[place]) for place in present[:MAX_VALUES]
    }
    slices = sorted({*names.values(), *([OTHER] if len(present) > MAX_VALUES else [])})
    code = {name: number for number, name in enumerate(slices, start=1)}
    codes = [code.get(names.get(place, OTHER), 0) for place in range(len(values))]
    return Partition(
        feature, tuple(f"{feature}.{name}" for name in slices), np.array(codes, np.uint8)[places]
    )


def _where(slice_: Slice, columns: pa.Table) -> Partition:
    inside = np.ones(len(columns), dtype=bool)
    for feature, accepted in slice_.where.items():
        values, places = _encoded(columns[feature])
        inside &= np.array([value in accepted for value in values], dtype=bool)[places]
    name = str(slice_.name)
    return Partition(name, (name,), inside.astype(np.uint8))


def _encoded(column: pa.ChunkedArray) -> tuple[list[Any], NDArray[np.intp]]:
    """The distinct values, a missing one as None, and each row's place among them."""
    whole = column.unify_dictionaries().combine_chunks()
    values = [*whole.dictionary.to_pylist(), None]
    return values, whole.indices.fill_null(len(values) - 1).to_numpy().astype(np.intp)
