"""Two days side by side: what changed in each field of their statistics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tensorflow_metadata.proto.v0 import statistics_pb2

from ml.config import Pipeline
from ml.schema import Schema
from ml.validation.cells import pool_rare
from ml.validation.divergence import measure_divergence
from ml.validation.drift import DayStatistics, cells_of, kind_of
from ml.validation.drift_report import Kind, describe_mover, movers_of


@dataclass(frozen=True)
class FieldChange:
    """One field on two days; the earlier day comes first in every pair.

    Attributes:
        field: its name.
        present: how many examples have a value; None on a day whose statistics lack the field.
        missing: the share of the examples without a value.
        mean: of the numbers; None for text, and for a field without values.
        divergence_bits: Kullback-Leibler divergence of the later day from the earlier one, its bias taken
            off; None where values are not compared (identifiers, the event time, a field of one day only).
        moved: the cell whose share changed most, in words; empty if nothing moved.
    """

    field: str
    present: tuple[int | None, int | None]
    missing: tuple[float | None, float | None]
    mean: tuple[float | None, float | None]
    divergence_bits: float | None
    moved: str

    def as_words(self) -> list[str]:
        """What a person reads below the `Comparison.headings`; a dash where there is nothing to say."""
        values = [_number(count, ",d") for count in self.present]
        shares = [_number(share, ".2%") for share in self.missing]
        means = [_number(mean, ".4g") for mean in self.mean]
        return [self.field, *values, *shares, *means, _number(self.divergence_bits, ".3f"), self.moved]


@dataclass(frozen=True)
class Comparison:
    """Two days.

    Attributes:
        rows: examples of the earlier and the later day.
        fields: in the schema's order.
    """

    rows: tuple[int, int]
    fields: tuple[FieldChange, ...]

    def title(self, names: tuple[str, str]) -> str:
        """How many examples there are of which day; the earlier day's name comes first."""
        return f"{self.rows[0]:,} examples of {names[0]}, {self.rows[1]:,} of {names[1]}"

    def headings(self, names: tuple[str, str]) -> list[str]:
        """What stands above the words of the fields."""
        pairs = [f"{what}\n{name}" for what in ("values", "missing", "mean") for name in names]
        return ["field", *pairs, "divergence\nbits", "what moved most"]


def compare_statistics(pipeline: Pipeline, earlier: Path, later: Path) -> Comparison:
    """Hold every field of a day against the same field of an earlier one.

    Args:
        pipeline: the settings.
        earlier: the statistics of the earlier day.
        later: the statistics of the later day.
    """
    days = DayStatistics.read(earlier), DayStatistics.read(later)
    schema = pipeline.read_schema()
    kinds = {
        name: _kind(pipeline, schema, name)
        for name in schema.columns
        if any(name in day.features for day in days)
    }
    changes = tuple(_change(pipeline, name, kind, days) for name, kind in kinds.items())
    return Comparison((days[0].rows, days[1].rows), changes)


def _change(
    pipeline: Pipeline, name: str, kind: Kind | None, days: tuple[DayStatistics, DayStatistics]
) -> FieldChange:
    earlier, later = (day.features.get(name) for day in days)
    bits, moved = _divergence(pipeline, name, kind, days)
    return FieldChange(
        field=name,
        present=(_present(earlier), _present(later)),
        missing=(_missing(earlier, days[0].rows), _missing(later, days[1].rows)),
        mean=(_mean(earlier), _mean(later)),
        divergence_bits=bits,
        moved=moved,
    )


def _divergence(
    pipeline: Pipeline, name: str, kind: Kind | None, days: tuple[DayStatistics, DayStatistics]
) -> tuple[float | None, str]:
    earlier, later = days
    cells = cells_of(pipeline, name, kind, (later, earlier)) if kind and earlier.rows and later.rows else None
    if cells is None:
        return None, ""
    pooled = pool_rare(cells)
    moved = "".join(describe_mover(mover) for mover in movers_of(pooled)[:1])
    return measure_divergence(pooled).divergence_bits, moved


def _kind(pipeline: Pipeline, schema: Schema, name: str) -> Kind | None:
    """How a field is compared; None if it differs every day by its nature, or has no known values."""
    if name == pipeline.landing.event_time or name in pipeline.drift.ignored:
        return None
    return kind_of(pipeline, schema, name)


def _present(feature: statistics_pb2.FeatureNameStatistics | None) -> int | None:
    return None if feature is None else int(_common(feature).num_non_missing)


def _missing(feature: statistics_pb2.FeatureNameStatistics | None, rows: int) -> float | None:
    return None if feature is None or not rows else 1 - _common(feature).num_non_missing / rows


def _mean(feature: statistics_pb2.FeatureNameStatistics | None) -> float | None:
    if feature is None or not feature.HasField("num_stats") or not _present(feature):
        return None
    return float(feature.num_stats.mean)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _common(feature: statistics_pb2.FeatureNameStatistics) -> statistics_pb2.CommonStatistics:
    return getattr(feature, feature.WhichOneof("stats")).common_stats
