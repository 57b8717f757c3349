"""A pipeline's settings, as ``pipeline.yaml`` in its folder holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from ml.artifact import Window
from ml.config.data import Housekeeping, Landing, Snapshots, Validation
from ml.config.features import Features
from ml.config.gate import Drift, Gate, Slice
from ml.config.section import Section
from ml.config.serving import Serving
from ml.config.training import Training
from ml.schema import Schema


class Pipeline(Section):
    """All settings of one pipeline.

    Attributes:
        name: the folder's name.
        folder: where the settings were read from.
        owner: who is asked when it stops; the DAG's owner.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    folder: Path = Field(exclude=True)
    owner: str
    description: str
    tags: tuple[str, ...] = ()
    label: str
    landing: Landing
    validation: Validation
    features: Features
    slices: tuple[Slice, ...] = ()
    drift: Drift
    training: Training
    gate: Gate
    serving: Serving
    snapshots: Snapshots = Snapshots()
    housekeeping: Housekeeping = Housekeeping()

    @property
    def schema_path(self) -> Path:
        """The reviewed schema."""
        return self.folder / "schema.pbtxt"

    def name_of(self, window: Window) -> str:
        """The calendar day of a window in the pipeline's time zone, ISO 8601."""
        return window.day(self.landing.time_zone).isoformat()

    def read_schema(self) -> Schema:
        """Read the reviewed schema.

        Raises:
            Misconfigured: if the file is missing or is not a schema.
        """
        return Schema.read(self.schema_path)
