"""Prometheus over its HTTP API, as far as anybody here asks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx

from ml.connections import PrometheusConnection
from ml.errors import Misconfigured, Unavailable

TIMEOUT_SECONDS = 30.0

Sample = dict[str, Any]


@contextmanager
def open_prometheus(connection: PrometheusConnection) -> Iterator[Prometheus]:
    """A Prometheus for the time of the block."""
    with httpx.Client(base_url=connection.address, timeout=TIMEOUT_SECONDS) as client:
        yield Prometheus(client)


class Prometheus:
    """One Prometheus.

    Every question raises `Unavailable` if it does not answer, and `Misconfigured` if it is none.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def query(self, expression: str, at: datetime) -> list[Sample]:
        """The samples of an expression at a moment: ``metric``, its labels, and ``value``, (time, text)."""
        asked = {"query": expression, "time": str(at.timestamp())}
        samples: list[Sample] = self._ask("POST", "/api/v1/query", asked, "result")
        return samples

    def alert_rules(self) -> list[dict[str, Any]]:
        """The rules of alerts: ``name``, ``health``, ``lastError``, and ``alerts``, those that are active."""
        groups = self._ask("GET", "/api/v1/rules", {"type": "alert"}, "groups")
        return [rule for group in groups for rule in group["rules"]]

    def _ask(self, method: str, path: str, asked: dict[str, str], wanted: str) -> Any:
        sent = {"data": asked} if method == "POST" else {"params": asked}
        try:
            answer = self._client.request(method, path, **sent)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            raise Unavailable(
                f"Prometheus at {self._client.base_url} did not answer ({type(error).__name__}: {error}). "
                "Is it running, and is its connection right?"
            ) from error
        if answer.is_server_error:
            raise Unavailable(f"Prometheus answered with status {answer.status_code}: {answer.text[:300]}")
        try:
            return answer.json()["data"][wanted]
        except (ValueError, KeyError, TypeError) as error:
            raise Misconfigured(
                f"{answer.request.url} answered with status {answer.status_code}: {answer.text[:300]}. "
                "Expected Prometheus' HTTP API: check the address of its connection."
            ) from error
