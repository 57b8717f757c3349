"""Counts requests, and writes the counts as TensorFlow Serving's Prometheus exporter does.

Its names begin with a colon and its counters do not end in ``_total``, which prometheus_client would add, so
the text format is written here.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

COUNT = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"
BUCKETS = [10 * 1.8**exponent for exponent in range(33)]  # microseconds

Labels = tuple[tuple[str, str], ...]


class Histogram:
    """How long requests took, in microseconds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def add(self, microseconds: float) -> None:
        """Count one request."""
        self.counts[bisect_left(BUCKETS, microseconds)] += 1
        self.sum += microseconds

    def lines(self, labels: Labels) -> Iterator[str]:
        """The samples of this histogram."""
        below = 0
        for bound, count in zip([*(f"{bucket:.6g}" for bucket in BUCKETS), "+Inf"], self.counts, strict=True):
            below += count
            yield f"{LATENCY}_bucket{_written((*labels, ('le', bound)))} {below}"
        yield f"{LATENCY}_sum{_written(labels)} {self.sum:.6f}"
        yield f"{LATENCY}_count{_written(labels)} {below}"


class Metrics:
    """The two families that dashboards and alerts read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Labels] = Counter()
        self._latencies: dict[Labels, Histogram] = {}

    def count(self, model: str, status: str) -> None:
        """Count a request by its canonical code."""
        with self._lock:
            self._counts[("model_name", model), ("status", status)] += 1

    def time(self, model: str, api: str, entrypoint: str, seconds: float) -> None:
        """Record how long a request that succeeded took."""
        labels = (("model_name", model), ("API", api), ("entrypoint", entrypoint))
        with self._lock:
            self._latencies.setdefault(labels, Histogram()).add(seconds * 1e6)

    def exposition(self) -> str:
        """The page that Prometheus scrapes."""
        with self._lock:
            lines = [f"# TYPE {COUNT} counter"]
            lines += [f"{COUNT}{_written(labels)} {count}" for labels, count in self._counts.items()]
            lines.append(f"# TYPE {LATENCY} histogram")
            for labels, histogram in self._latencies.items():
                lines += histogram.lines(labels)
        return "\n".join(lines) + "\n"


def _written(labels: Labels) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels) + "}"
