"""One pipeline, one window, one store: what every step of a night has in hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ml.artifact import Artifact, Window
from ml.config import Pipeline
from ml.errors import Misconfigured
from ml.manifest import Identity
from ml.pipelines import load_pipeline
from ml.store import Store
from ml.what_if import current_what_if


@dataclass(frozen=True)
class Day:
    """The place that a step's artifact belongs to.

    Attributes:
        pipeline: the settings.
        window: the day that is processed.
        store: where artifacts are read and written.
        variant: of the what-if that the process is part of; empty in normal operation.
    """

    pipeline: Pipeline
    window: Window
    store: Store
    variant: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pipeline: str, start: str, end: str) -> Self:
        """The day ``[start, end)``, both ISO 8601 with an offset.

        Raises:
            Misconfigured: if they are none.
        """
        settings = load_pipeline(pipeline)
        try:
            given = Window.parse(start, end)
        except ValueError as error:
            raise Misconfigured(
                f"a night of {pipeline} was given no day, but {start!r} to {end!r} ({error}). Expected two "
                "moments, ISO 8601 with an offset. Whoever started it named no day: start it again for one, "
                "as a backfill does (docs/backfills.md)."
            ) from error
        window = given.at_first_midnights(settings.landing.time_zone)
        return cls(settings, window, Store.from_environment(), _variant())

    @classmethod
    def of_artifact(cls, artifact: Artifact) -> Self:
        """The day that an artifact belongs to."""
        store = Store.from_environment()
        identity = store.manifest(artifact).identity
        return cls(load_pipeline(identity.pipeline), identity.window, store, _variant())

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
        return Identity(kind, self.pipeline.name, self.window, inputs, config, revision, self.variant)

    def identify_shared(
        self, kind: str, inputs: Mapping[str, Artifact | None], config: Mapping[str, Any]
    ) -> Identity:
        """As `identify`, but a what-if takes what a normal night has made, where there is such a thing.

        For what a what-if must not vary: the day's data, and what it is judged against. What is not there
        is made beside the normal place, because the code that makes it may be other code.
        """
        own = self.identify(kind, inputs, config)
        normal = replace(own, variant={})
        return normal if self.variant and not self.store.find(own) and self.store.find(normal) else own

    def settings(self, *sections: str) -> dict[str, Any]:
        """The named sections of ``pipeline.yaml``, and the schema's digest, as an identity keeps them."""
        return {**self._sections(*sections), "schema": self.pipeline.read_schema().digest}

    def landing_settings(self) -> dict[str, Any]:
        """The same for a landing, which reads the schema's columns only: a wider domain lands none again."""
        return {**self._sections("landing"), "columns": self.pipeline.read_schema().columns_digest}

    def _sections(self, *names: str) -> dict[str, Any]:
        settings = self.pipeline.model_dump(mode="json")
        return {name: settings[name] for name in names}


def _variant() -> Mapping[str, str]:
    what_if = current_what_if()
    return what_if.variant if what_if else {}
