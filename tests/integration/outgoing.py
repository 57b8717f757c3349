"""A version that is loaded, and that housekeeping takes away while users ask for others."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from ml.connections import ServingConnection
from ml.housekeeping import House, housekeep
from ml.release.server import ModelServer
from tests.integration.canaries import CanaryPlace
from tests.integration.publishing import Place

# When no run can be going on any more that names a version of today.
LATER = timedelta(days=2)


def load(place: Place, version: int) -> None:
    """Have users' model server load a version beside what it serves, as somebody may have done by hand."""
    with ModelServer(place.serving, place.model) as server:
        server.apply(server.entry().offering(version, "stable", place.served()), 60)
        server.rest.await_available(version, 60, None)


def loaded(place: Place, on: ServingConnection | None = None) -> list[int]:
    """The versions that a model server has loaded by its own word, by default users' own."""
    with ModelServer(on or place.serving, place.model) as server:
        return sorted(number for number, state in server.rest.states().items() if state.name == "AVAILABLE")


def keep_last_only(place: Place) -> None:
    """Keep house, with only one version kept that nothing else keeps."""
    serving = place.pipeline.serving.model_copy(update={"keep_versions": 1})
    pipeline = place.pipeline.model_copy(update={"serving": serving})
    canary = [place.canary] if isinstance(place, CanaryPlace) and place.canary else []
    house = House(pipeline, place.store, (place.serving, *canary), place.mlflow)
    housekeep(house, datetime.now(timezone.utc) + LATER)
