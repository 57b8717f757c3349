"""What every section of a pipeline's settings is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Frozen, and an unknown key is an error: a misspelt threshold must not be a missing one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
