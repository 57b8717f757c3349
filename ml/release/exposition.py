"""How the pipelines stand, as Prometheus metrics, read anew for every scrape."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ml.config import Pipeline
from ml.errors import Misconfigured
from ml.release.observer import Observer
from ml.release.standing import Sources

log = logging.getLogger(__name__)

# Name → what it is, and its labels after the pipeline's name.
METRICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "retraining_model_info": (
        "Always 1: the model that the pipeline makes, by the name that users ask for.",
        ("model",),
    ),
    "retraining_source_up": (
        "Whether what the other metrics are read from answered: 1 or 0.",
        ("source",),
    ),
    "retraining_served_version": (
        "The version that users are answered by, asked of the model server; 0 for none.",
        (),
    ),
    "retraining_canary_version": (
        "The version of the canary track, asked of its server; 0 for none.",
        (),
    ),
    "retraining_canary_share": (
        "The share of users whom the router sends to the canary.",
        (),
    ),
    "retraining_trial_timestamp_seconds": (
        "Since when the canary and what is stable have answered side by side. Only while one is on trial.",
        ("version",),
    ),
    "retraining_trial_limit_seconds": (
        "How long a trial lasts at most before the rollout has a word on it. Only while one is on.",
        (),
    ),
    "retraining_registry_version": (
        "The version that the registry's alias production is served as; 0 for none.",
        (),
    ),
    "retraining_ledger_version": (
        "The version that the last move in the ledger led to; 0 for none.",
        (),
    ),
    "retraining_watch_timestamp_seconds": (
        "When the watch last saw all that it looks at; 0 for never. Only where alerts are watched.",
        (),
    ),
    "retraining_served_watermark_timestamp_seconds": (
        "The end of the newest data that the served model has seen.",
        (),
    ),
    "retraining_due_watermark_timestamp_seconds": (
        "What the watermark should be by now at least.",
        (),
    ),
    "retraining_last_published_timestamp_seconds": (
        "When all users last got a version by a push or a promotion.",
        (),
    ),
    "retraining_blocked_nights": (
        "Nights in a row, up to the last that is due, that have brought all users nothing that stayed.",
        (),
    ),
    "retraining_blocked_nights_limit": (
        "So many of them wake a person.",
        (),
    ),
    "retraining_rehearsal_passed": (
        "Whether the last rehearsal of the way back to the golden version worked: 1 or 0.",
        (),
    ),
    "retraining_rehearsal_timestamp_seconds": (
        "When the way back to the golden version was last rehearsed; 0 if it never was.",
        (),
    ),
    "retraining_verdict_info": (
        "Always 1, for each of the last nights and the gate's verdict on it.",
        ("day", "verdict"),
    ),
    "retraining_realised_verdict_info": (
        "Always 1, for each of the last canaries: the word of realised labels that counts, and its track.",
        ("version", "verdict", "track"),
    ),
    "retraining_drift_bits": (
        "Divergence of the newest day from production's baseline, sampling bias taken off.",
        ("feature",),
    ),
    "retraining_drift_threshold_bits": (
        "How much divergence of the feature the pipeline allows.",
        ("feature",),
    ),
}


class Exposition(Collector):
    """The metrics of some pipelines."""

    def __init__(self, pipelines: Sequence[Pipeline], sources: Sources) -> None:
        self._observer = Observer(pipelines, sources)

    def describe(self) -> list[GaugeMetricFamily]:
        """The metrics without values, so that registering asks no server."""
        return list(_families().values())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All metrics, read now."""
        families = _families()
        for pipeline, sample in self._observer.observe(datetime.now(timezone.utc)):
            families[sample.name].add_metric([pipeline, *sample.labels], sample.value)
        yield from families.values()


def serve_metrics(
    pipelines: Sequence[Pipeline], sources: Sources, address: tuple[str, int], stop: threading.Event
) -> None:
    """Answer scrapes at ``address``, (host, port), until ``stop`` is set.

    Raises:
        Misconfigured: if nobody can listen there.
    """
    registry = CollectorRegistry()
    registry.register(Exposition(pipelines, sources))
    host, port = address
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {host}:{port} ({error}); expected a free port of this machine. Choose another."
        ) from error
    log.info("metrics of %s at http://%s:%d/metrics", ", ".join(p.name for p in pipelines), host, port)
    try:
        stop.wait()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(name, text, labels=["pipeline", *labels])
        for name, (text, labels) in METRICS.items()
    }
