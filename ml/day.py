"""One pipeline, one window, one store: what every step of a night has in hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ml.artifact import Artifact, Window
from ml.config import Pipeline
from ml.manifest import Identity
from ml.pipelines import load_pipeline
from ml.store import Store


@dataclass(frozen=True)
class Day:
    """The place that a step's artifact belongs to.

    Attributes:
        pipeline: the settings.
        window: the day that is processed.
        store: where artifacts are read and written.
    """

    pipeline: Pipeline
    window: Window
    store: Store

    @classmethod
    def of(cls, pipeline: str, start: str, end: str) -> Self:
        """The day ``[start, end)``, both ISO 8601 with an offset."""
        return cls(load_pipeline(pipeline), Window.parse(start, end), Store.from_environment())

    @classmethod
    def of_artifact(cls, artifact: Artifact) -> Self:
        """The day that an artifact belongs to."""
        store = Store.from_environment()
        identity = store.manifest(artifact).identity
        return cls(load_pipeline(identity.pipeline), identity.window, store)

    @property
    def name(self) -> str:
        """The calendar day in the pipeline's time zone, ISO 8601."""
        return self.pipeline.name_of(self.window)

    def identify(
        self,
        kind: str,
        inputs: Mapping[str, Artifact | None],
        config: Mapping[str, Any],
        revision: int = 1,
    ) -> Identity:
        """What an artifact of this day is made of; see `ml.identities` for each kind."""
        return Identity(kind, self.pipeline.name, self.window, inputs, config, revision)

    def settings(self, *sections: str) -> dict[str, Any]:
        """The named sections of ``pipeline.yaml``, and the schema's digest, as an identity keeps them."""
        chosen = {name: self.pipeline.model_dump(mode="json")[name] for name in sections}
        return {**chosen, "schema": self.pipeline.read_schema().digest}
