"""The servers of the two tracks, and the locks on their configs."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Self

from ml.config import Canary, Pipeline
from ml.connections import ServingConnection
from ml.errors import Misconfigured
from ml.release.production import publication_locks
from ml.store import Store


@dataclass(frozen=True)
class Tracks:
    """Where the tracks are served; the same twice where one model server has both labels.

    Attributes:
        stable: the model server of the stable track, which shares its directory with the router.
        canary: that of the canary track.
    """

    stable: ServingConnection
    canary: ServingConnection

    @classmethod
    def of(cls, pipeline: Pipeline, stable: ServingConnection, canary: ServingConnection | None) -> Self:
        """The tracks of a pipeline.

        Raises:
            Misconfigured: if it has no canary, or its canary's own server is not given.
        """
        setting = canary_of(pipeline)
        if setting.servers == "one":
            return cls(stable, stable)
        if canary is None:
            raise Misconfigured(
                f"the canary of {pipeline.name} has a model server of its own (serving.canary.servers: two), "
                "and no connection to it was given. Set RETRAIN_SERVING_CANARY or Airflow's Connection "
                f"{setting.connection}, or set servers to one."
            )
        return cls(stable, canary)

    def lock(self, store: Store) -> AbstractContextManager[None]:
        """Hold the publication lock of each server, stable's last."""
        return publication_locks(store, (self.stable, self.canary))


def canary_of(pipeline: Pipeline) -> Canary:
    """The settings of the canary.

    Raises:
        Misconfigured: if there are none.
    """
    if pipeline.serving.canary is None:
        raise Misconfigured(
            f"the pipeline {pipeline.name} has no canary: its versions go to all users at once. Add "
            "serving.canary to its pipeline.yaml; see docs/tracks.md."
        )
    return pipeline.serving.canary
