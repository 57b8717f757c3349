"""Fitting the feature_spec on the training rows, in one pass and bounded memory.

Vocabularies are counted exactly, from Arrow's dictionaries. Means and deviations are exact too, merged
from block to block. Quantile boundaries come from an evenly spaced sample of at most `SAMPLE_SIZE` rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.config import Categorical, Features, Numeric
from ml.errors import DataRejected
from ml.features.columns import MISSING_TEXT, Rows, as_numbers, column_of
from ml.features.spec import CategoricalSpec, FeatureSpec, NumericSpec
from ml.schema import ColumnType

SAMPLE_SIZE = 200_000

Numbers = np.ndarray[Any, np.dtype[np.float64]]


class Fitting:
    """Takes blocks of training rows and gives the feature_spec.

    Args:
        features: the pipeline's features.
        columns: raw types by name, as in the schema.
        expected_rows: about how many rows will come; sets the spacing of the sample.
    """

    def __init__(self, features: Features, columns: Mapping[str, ColumnType], expected_rows: int) -> None:
        self._features = features
        self._columns = columns
        self._stride = max(1, math.ceil(expected_rows / SAMPLE_SIZE))
        self._rows = 0
        self._values = {name: ValueCounts() for name, kind in features.categorical.items() if kind.vocabulary}
        self._moments = {name: Moments() for name in features.numeric}
        self._samples: dict[str, list[Numbers]] = {name: [] for name in features.numeric}

    def add(self, rows: Rows, source: str = "this block") -> None:
        """Take one more block.

        Args:
            rows: the block.
            source: where they come from, as a message names it.

        Raises:
            Misconfigured: if a feature's column is missing.
            DataRejected: if a number is infinite to a model: it would spoil the mean.
        """
        for name, counts in self._values.items():
            counts.add(column_of(rows, name))
        for name, numeric in self._features.numeric.items():
            values = as_numbers(column_of(rows, name))
            _check_finite(values, name, source)
            self._moments[name].add(scaled(values[~np.isnan(values)], numeric.scale))
            self._samples[name].append(values[-self._rows % self._stride :: self._stride])
        self._rows += rows.num_rows

    def spec(self) -> FeatureSpec:
        """What was learnt."""
        features = self._features
        return FeatureSpec(
            categorical=tuple(self._categorical(name, kind) for name, kind in features.categorical.items()),
            numeric=tuple(self._numeric(name, numeric) for name, numeric in features.numeric.items()),
            wide=features.wide,
            crossed=features.crossed,
            deep=features.deep,
        )

    def _categorical(self, name: str, categorical: Categorical) -> CategoricalSpec:
        kept = self._values[name].top(categorical.vocabulary) if categorical.vocabulary else None
        return CategoricalSpec(
            name=name,
            column=self._columns[name],
            vocabulary=kept,
            hash_buckets=categorical.hash_buckets,
            embedding=categorical.embedding,
        )

    def _numeric(self, name: str, numeric: Numeric) -> NumericSpec:
        sample = np.concatenate(self._samples[name]) if self._samples[name] else np.empty(0)
        return NumericSpec(
            name=name,
            column=self._columns[name],
            scale=numeric.scale,
            mean=self._moments[name].mean,
            deviation=self._moments[name].deviation,
            boundaries=quantile_boundaries(sample[~np.isnan(sample)], numeric.buckets),
        )


@dataclass
class ValueCounts:
    """How often each value of a categorical feature occurs."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, column: pa.Array) -> None:
        """Count one more block; missing values do not count."""
        if isinstance(column, pa.DictionaryArray):
            column = column.dictionary_decode()
        counted = pc.value_counts(column.drop_null().cast(pa.string()))
        values, numbers = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
        self.counts.update(dict(zip(values, numbers, strict=True)))

    def top(self, size: int) -> tuple[str, ...]:
        """The most frequent values; of equally frequent ones, the first in order of code points."""
        ranked = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(value for value, _ in ranked if value != MISSING_TEXT)[:size]


@dataclass
class Moments:
    """Mean and deviation of values that come in blocks.

    Merged as in Chan, Golub, LeVeque: Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances (1979), which stays exact where a sum of squares does not.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: Numbers) -> None:
        """Merge one more block."""
        if not values.size:
            return
        mean, total = float(values.mean()), self.count + values.size
        apart = mean - self.mean
        self.squares += float(np.square(values - mean).sum()) + apart**2 * self.count * values.size / total
        self.mean += apart * values.size / total
        self.count = total

    @property
    def deviation(self) -> float:
        """The population's standard deviation; 1 where the values do not vary."""
        deviation = math.sqrt(self.squares / self.count) if self.count else 0.0
        return deviation or 1.0


def _check_finite(values: np.ndarray[Any, Any], name: str, source: str) -> None:
    """Validation stops a day for this; one that was let through before it looked is stopped here."""
    if beyond := int(np.count_nonzero(np.isinf(values))):
        raise DataRejected(
            f"{beyond} of {len(values)} rows of {source} have a {name!r} that is infinite to a model, whose "
            f"numbers (float32) end at {np.finfo(np.float32).max:.1e}. Mend what writes them. To train "
            f"without the day, bound {name!r} in schema.pbtxt, as in float_domain {{ max: 1000000 }}: "
            "validation then looks at the days again, stops this one, and later nights leave it out by name."
        )


def scaled(values: np.ndarray[Any, Any], scale: str) -> Numbers:
    """Values on the scale that they are standardised on; the transform does the same."""
    values = values.astype(np.float64)
    return np.log1p(np.maximum(values, 0.0)) if scale == "log" else values


def quantile_boundaries(values: np.ndarray[Any, Any], buckets: int) -> tuple[float, ...]:
    """Boundaries of at most ``buckets`` buckets that hold about equally many values.

    A number with no more different values than buckets has a bucket for each.
    """
    distinct = np.unique(values)
    if distinct.size <= buckets:
        return tuple(distinct[1:].tolist())
    shares = np.arange(1, buckets) / buckets
    inner = np.unique(np.quantile(values, shares, method="higher"))
    return tuple(inner[inner > distinct[0]].tolist())
