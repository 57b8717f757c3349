"""What watches the pipelines, beside their nights."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ml.connections import MlflowConnection, ServingConnection
from ml.pipelines import load_pipeline, load_valid_pipelines
from ml.store import Store


def serve_metrics(
    pipelines: Sequence[str],
    address: tuple[str, int],
    stop: threading.Event,
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
    canary: ServingConnection | None = None,
) -> None:
    """Answer Prometheus's scrapes until ``stop`` is set: what serves, what should, the last nights.

    Args:
        pipelines: names; all that can be read if there is none.
        address: (host, port).
        stop: ends it.
        serving: the model server.
        mlflow: where the registry is.
        canary: the second model server, if pipelines have one for their canary.
    """
    from ml.release.exposition import serve_metrics
    from ml.release.standing import Sources

    chosen = [load_pipeline(name) for name in pipelines] or load_valid_pipelines()
    serve_metrics(chosen, Sources(Store.from_environment(), serving, mlflow, canary), address, stop)
