"""A line in the log for each request, with its trace id: the stand-in's own, for ``--log_requests``.

TensorFlow Serving has no such log. Whoever looks for a request there has the router's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import grpc
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)

TRACE = "x-request-id"


class RestRequestLog:
    """Logs what comes over REST, and passes it on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _write("rest", scope["path"], Headers(scope=scope).get(TRACE))
        await self._app(scope, receive, send)


class GrpcRequestLog(grpc.ServerInterceptor):  # type: ignore[misc]
    """Logs what comes over gRPC, and passes it on."""

    def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Any], details: grpc.HandlerCallDetails
    ) -> Any:
        """Log one call."""
        _write("grpc", details.method, dict(details.invocation_metadata).get(TRACE))
        return continuation(details)


def _write(face: str, path: str, trace: str | None) -> None:
    log.info("%s=%s face=%s path=%s", TRACE, trace or "-", face, path)
