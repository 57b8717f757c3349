"""The feature_spec: all that the transform needs to know, fitted once on the training rows.

It is written beside the model as ``feature_spec.json`` and lies, as constants, in the SavedModel too.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from ml.config import Cross
from ml.schema import ColumnType

FILE_NAME = "feature_spec.json"
MISSING = 0
OTHER = 1


class Fitted(BaseModel):
    """Frozen, and read back from JSON as it was written."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CategoricalSpec(Fitted):
    """How a value becomes an id: 0 is missing.

    Attributes:
        column: the type of its raw value.
        vocabulary: the kept values, the most frequent first, with ids from 2; 1 is any other value.
            None where the value is hashed.
        hash_buckets: the ids are 1 to ``hash_buckets``. None where there is a vocabulary.
        embedding: the width of its vector in the deep part.
    """

    name: str
    column: ColumnType
    vocabulary: tuple[str, ...] | None = None
    hash_buckets: int | None = None
    embedding: int

    @property
    def size(self) -> int:
        """How many ids there are."""
        if self.vocabulary is not None:
            return len(self.vocabulary) + 2
        return (self.hash_buckets or 0) + 1


class NumericSpec(Fitted):
    """How a number is standardised, and which bucket it falls into.

    Attributes:
        column: the type of its raw value.
        scale: ``log`` takes log(1 + x) of what is at least 0.
        mean: of the scaled values.
        deviation: the standard deviation of the scaled values, 1 if they are all the same.
        boundaries: raw values, ascending. Bucket 0 is missing; bucket 1 + k has k boundaries at or below.
    """

    name: str
    column: ColumnType
    scale: Literal["linear", "log"]
    mean: float
    deviation: float
    boundaries: tuple[float, ...]

    @property
    def size(self) -> int:
        """How many buckets there are."""
        return len(self.boundaries) + 2


class FeatureSpec(Fitted):
    """The fitted features and the parts of the model that see them.

    Attributes:
        categorical: ids.
        numeric: standardised numbers and buckets.
        wide: names of features with a weight for each id or bucket.
        crossed: products of ids and buckets, with a weight each.
        deep: names of features that the perceptron sees, as an embedding or a standardised number.
    """

    categorical: tuple[CategoricalSpec, ...]
    numeric: tuple[NumericSpec, ...]
    wide: tuple[str, ...]
    crossed: tuple[Cross, ...]
    deep: tuple[str, ...]

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read ``feature_spec.json`` from a directory."""
        return cls.model_validate_json((directory / FILE_NAME).read_bytes())

    @property
    def sizes(self) -> dict[str, int]:
        """How many ids or buckets each feature has."""
        sizes = {feature.name: feature.size for feature in self.categorical}
        return {**sizes, **{feature.name: feature.size for feature in self.numeric}}

    @property
    def embedded(self) -> tuple[CategoricalSpec, ...]:
        """The features that the deep part sees as a vector."""
        return tuple(feature for feature in self.categorical if feature.name in self.deep)

    @property
    def standardised(self) -> tuple[NumericSpec, ...]:
        """The features that the deep part sees as a number."""
        return tuple(feature for feature in self.numeric if feature.name in self.deep)

    @property
    def wide_sizes(self) -> list[int]:
        """How many weights each column of the wide part has: the features, then the crosses."""
        return [*(self.sizes[name] for name in self.wide), *map(self.size_of_cross, self.crossed)]

    def size_of_cross(self, cross: Cross) -> int:
        """How many ids a cross has: all its combinations, or ``hash_buckets`` if those are more."""
        return min(math.prod(self.sizes[name] for name in cross.features), cross.hash_buckets)

    @property
    def columns(self) -> dict[str, ColumnType]:
        """Raw type of every feature, by name."""
        columns = {feature.name: feature.column for feature in self.categorical}
        return dict(sorted({**columns, **{feature.name: feature.column for feature in self.numeric}}.items()))

    @property
    def tensor_types(self) -> dict[str, str]:
        """The type of every feature's tensor at serving, by name: ``string``, ``int64`` or ``float32``."""
        types = {feature.name: category_type(feature.column) for feature in self.categorical}
        return dict(sorted({**types, **{feature.name: "float32" for feature in self.numeric}}.items()))


def category_type(column: ColumnType) -> str:
    """The type of a categorical feature's tensor."""
    return "int64" if column == "int" else "string"
