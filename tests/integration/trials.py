"""Canaries on trial on real servers: users ask through the router, and Prometheus counts what they get."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import httpx
import numpy as np

from ml.connections import PrometheusConnection
from ml.release.rollout.watch import Look, watch_canary
from tests.demo.model_server.process import ModelServerProcess
from tests.demo.prometheus import running_mtail, running_prometheus
from tests.demo.router import Router, running_router
from tests.integration.canaries import CanaryPlace
from tests.integration.publishing import Place

LOOKS, REQUESTS = 30, 60


@dataclass(frozen=True)
class Trials:
    """A place, the router before it and the Prometheus that watches."""

    place: Place
    router: Router
    prometheus: PrometheusConnection

    def ask(self, count: int, at_once: int = 1) -> list[int]:
        """The statuses that so many users are answered with, of whom some ask at once."""
        place = self.place
        served = place.served()
        known = served and place.records.known_answers.read(served)
        assert known
        inputs = {
            name: np.nan_to_num(values[:1]) if values.dtype.kind == "f" else values[:1]
            for name, values in known[0].items()
        }
        body = {"inputs": {name: values.tolist() for name, values in inputs.items()}}
        path = f"/v1/models/{place.model}:predict"
        with (
            httpx.Client(base_url=self.router.rest, timeout=60) as client,
            ThreadPoolExecutor(at_once) as askers,
        ):

            def answer_to(user: str) -> int:
                return client.post(path, json=body, headers={"X-User-Id": user}).status_code

            return list(askers.map(answer_to, [f"user-{number}" for number in range(count)]))

    def look(self, version: int) -> Look:
        return watch_canary(version, self.place.records, self.prometheus, datetime.now(timezone.utc))

    def judge(self, version: int, at_once: int = 1) -> Look:
        """Look after every few requests until there is a decision; users see no error meanwhile."""
        for _ in range(LOOKS):
            assert set(self.ask(REQUESTS, at_once)) == {200}
            if (look := self.look(version)).judgement.decision != "WAIT":
                return look
        raise AssertionError(f"no decision after {LOOKS} looks: {look.judgement.reasons}")


@contextmanager
def running_trials(
    home: Path, place: CanaryPlace, stable: ModelServerProcess, canary: ModelServerProcess | None = None
) -> Iterator[Trials]:
    """Run router, mtail and Prometheus before a place's model servers while the block runs."""
    with (
        running_router(home / "router", place.serving.models_dir, stable, canary) as router,
        running_mtail(home, router.access_log) as mtail,
        running_prometheus(home / "prometheus", {"router": mtail}) as prometheus,
    ):
        yield Trials(place, router, PrometheusConnection(address=prometheus.address))
