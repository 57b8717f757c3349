"""Settings of how a candidate is judged before it is published: slices, drift and the gate."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from ml.config.section import Count, Fraction, Positive, Section


def _no_truth(value: object) -> object:
    # YAML reads NO without quotes as false, and the slice of Norway would accept the number 0.
    if isinstance(value, bool):
        raise ValueError(f'expected text or a number, found {value}; a word such as NO needs quotes: "NO"')
    return value


Accepted = Annotated[str | int | float, BeforeValidator(_no_truth)]


class Slice(Section):
    """A part of the users on which a candidate must not be worse.

    Either ``by`` a categorical feature, which gives a slice for each of its values, or ``name`` and
    ``where`` with the accepted values of each feature, and nothing of the other form.
    """

    by: str | None = None
    name: str | None = None
    where: dict[str, tuple[Accepted, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if bool(self.by) == bool(self.name) or bool(self.name) != bool(self.where):
            raise ValueError("expected either 'by' alone, or 'name' together with 'where'")
        if empty := [feature for feature, accepted in self.where.items() if not accepted]:
            raise ValueError(f"expected the accepted values of {', '.join(empty)}, found an empty list")
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

    @model_validator(mode="after")
    def _room_between(self) -> Self:
        if self.calibration_low >= self.calibration_high:
            raise ValueError(
                "expected calibration_low to be below calibration_high, found "
                f"{self.calibration_low:g} and {self.calibration_high:g}; no candidate could pass"
            )
        return self


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
