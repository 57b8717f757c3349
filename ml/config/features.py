"""Settings of what the model sees."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ml.config.section import Count, Section


class Categorical(Section):
    """A feature with values from a set.

    Exactly one of the two sizes is given.

    Attributes:
        vocabulary: keep this many of the most frequent values; all others share one bucket.
        hash_buckets: hash the value into this many buckets; for features with very many values.
        embedding: the width of its vector in the deep part.
    """

    vocabulary: Count | None = None
    hash_buckets: Count | None = None
    embedding: Count = 8

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.vocabulary is None) == (self.hash_buckets is None):
            raise ValueError("expected exactly one of vocabulary and hash_buckets")
        return self


class Numeric(Section):
    """A feature that is a number. It is standardised, and a missing value is told apart from the mean.

    Attributes:
        scale: ``log`` takes log(1 + x) first, for skewed amounts of at least 0.
        buckets: how many quantile buckets it has where it is wide or crossed.
    """

    scale: Literal["linear", "log"] = "linear"
    buckets: Annotated[int, Field(ge=2)] = 16


class Cross(Section):
    """A product of features, hashed: the memory of the wide part."""

    features: Annotated[tuple[str, ...], Field(min_length=2)]
    hash_buckets: Count


class Features(Section):
    """What the model sees.

    Attributes:
        categorical: by name.
        numeric: by name.
        wide: features of the linear part.
        crossed: products of features, in the linear part too.
        deep: features of the multi-layer perceptron.
    """

    categorical: dict[str, Categorical] = Field(default_factory=dict)
    numeric: dict[str, Numeric] = Field(default_factory=dict)
    wide: tuple[str, ...]
    crossed: tuple[Cross, ...] = ()
    deep: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every feature that the model reads, sorted."""
        return tuple(sorted([*self.categorical, *self.numeric]))

    @model_validator(mode="after")
    def _both_parts(self) -> Self:
        if not self.wide or not self.deep:
            raise ValueError(
                "expected wide and deep to name a feature each, found "
                f"{len(self.wide)} wide and {len(self.deep)} deep; add one to the empty part"
            )
        return self

    @model_validator(mode="after")
    def _declared_and_used(self) -> Self:
        used = {*self.wide, *self.deep, *(name for cross in self.crossed for name in cross.features)}
        if both := set(self.categorical) & set(self.numeric):
            raise ValueError(f"expected a feature to be categorical or numeric, found {sorted(both)} in both")
        if undeclared := used - set(self.names):
            raise ValueError(
                f"expected wide, crossed and deep to name declared features; {sorted(undeclared)} are "
                "neither under categorical nor under numeric"
            )
        if unused := set(self.names) - used:
            raise ValueError(
                f"expected every declared feature to be wide, crossed or deep; {sorted(unused)} are not"
            )
        return self
