"""Settings of how a candidate is judged before it is published: slices, drift and the gate."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ml.config.section import Count, Fraction, Positive, Section


class Slice(Section):
    """A part of the users on which a candidate must not be worse.

    Either ``by`` a categorical feature, which gives a slice for each of its values, or ``name`` and
    ``where`` with the accepted values of each feature.
    """

    by: str | None = None
    name: str | None = None
    where: dict[str, tuple[str | int | float, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.by is None) == (self.name is None or not self.where):
            raise ValueError("expected either 'by', or 'name' together with 'where'")
        return self


class Drift(Section):
    """Thresholds of the divergence from production's baseline.

    Attributes:
        thresholds: bits of Kullback-Leibler divergence by feature, after the bias of a finite sample
            has been taken off.
        ignored: features that are expected to move every day, such as identifiers.
        bins: how many common bins a numeric feature is cut into.
        min_rows: with fewer rows the report says that it cannot tell.
    """

    thresholds: dict[str, Positive]
    ignored: tuple[str, ...] = ()
    bins: Annotated[int, Field(ge=2)] = 20
    min_rows: Count = 1000


class Floors(Section):
    """What every candidate must reach, whatever production does.

    Attributes:
        auc: area under the ROC curve, at least.
        calibration_low: predicted clicks / actual clicks, at least.
        calibration_high: predicted clicks / actual clicks, at most.
    """

    auc: Fraction
    calibration_low: Positive
    calibration_high: Positive


class Gate(Section):
    """When a candidate may replace production.

    Attributes:
        metric: what the gain is measured in.
        min_gain: the least relative gain, (candidate - production) / production.
        confidence: of the intervals and of the paired tests.
        slice_margin: how much of the metric a slice may lose at most, relatively (non-inferiority).
        min_examples: with fewer held-out rows the verdict is INCONCLUSIVE.
        min_slice_examples: a slice with fewer rows is shown but does not vote.
        floors: absolute limits.
    """

    metric: Literal["auc", "pr_auc", "log_loss"]
    min_gain: Annotated[float, Field(ge=0)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    slice_margin: Annotated[float, Field(ge=0)]
    min_examples: Count
    min_slice_examples: Count
    floors: Floors
