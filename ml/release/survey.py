"""What serves, asked by someone who only wants to know: nothing is locked, finished or written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ml.config import Pipeline
from ml.connections import MlflowConnection, ServingConnection
from ml.release.production import Records
from ml.release.rest import RestServer
from ml.store import Store


@dataclass(frozen=True)
class Served:
    """What users are answered by.

    Attributes:
        version: its number; None if nothing is served yet.
        watermark: the end of the newest data that it has seen.
        aliased: whether the registry's alias ``production`` names the same model.
    """

    version: int | None
    watermark: datetime | None
    aliased: bool


def survey_production(
    pipeline: Pipeline, serving: ServingConnection, mlflow: MlflowConnection, store: Store
) -> Served:
    """Ask the model server and the registry what is in production.

    Raises:
        Unavailable: if one of them does not answer.
        Misconfigured: if the version was not published from this store, or a connection is wrong.
    """
    from ml.release.registry import Registry
    from ml.release.tracking import open_mlflow

    with RestServer(serving, pipeline.serving.model) as rest, open_mlflow(mlflow) as client:
        version = Records(pipeline, store).served(rest)
        aliased = Registry(client, pipeline.serving.model).production_digest()
    if version is None:
        return Served(None, None, aliased is None)
    return Served(version.number, version.watermark, aliased == version.model["digest"])
