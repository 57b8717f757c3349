"""TensorFlow Serving's REST API."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import grpc
import uvicorn
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from tensorflow_serving.apis.model_pb2 import ModelSpec

from tests.demo.model_server.faults import Faults
from tests.demo.model_server.grpc_service import SIGNATURE_DEF, Core, model_status, signature_defs
from tests.demo.model_server.metrics import Metrics
from tests.demo.model_server.predict_json import PredictBody
from tests.demo.model_server.request_log import RestRequestLog
from tests.demo.model_server.servable import DEFAULT_SIGNATURE
from tests.demo.model_server.status import StatusError, invalid_argument

log = logging.getLogger(__name__)

VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
PREDICTION = re.compile(
    rf"/v1/models/(?P<model>[^/:]+){VERSION}:(?P<method>classify|regress|predict)", re.IGNORECASE
)
INFORMATION = re.compile(
    rf"/v1/models(?:/(?P<model>[^/:]+))?{VERSION}(?P<metadata>/metadata)?", re.IGNORECASE
)
INT64_MAX = 2**63 - 1
HTTP_STATUS = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
}


class RestApi:
    """Answers one request at a time per thread; knows nothing of sockets."""

    def __init__(self, core: Core, metrics: Metrics, faults: Faults | None = None) -> None:
        self._core = core
        self._faults = faults or Faults()
        self._metrics = metrics

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """The HTTP status and the JSON body for a request below /v1."""
        pattern = PREDICTION if method == "POST" else INFORMATION
        match = pattern.fullmatch(path)
        model = unquote((match and match["model"]) or "")
        started = time.perf_counter()
        try:
            if match is None:
                raise invalid_argument(f"Malformed request: {method} {path}")
            content = self._predict(match, body) if method == "POST" else self._describe(match)
        except StatusError as error:
            self._metrics.count(model, error.code.name)
            status = HTTP_STATUS.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
            return int(status), json.dumps({"error": error.message}).encode()
        self._metrics.count(model, "OK")
        if method == "POST":
            self._metrics.time(model, match["method"].lower(), "REST", time.perf_counter() - started)
        return int(HTTPStatus.OK), content

    def _predict(self, match: re.Match[str], body: bytes) -> bytes:
        if match["method"].lower() != "predict":
            raise StatusError(
                grpc.StatusCode.UNIMPLEMENTED, f"The stand-in does not implement {match['method']}."
            )
        request = PredictBody.parse(body)
        version, servable = self._core.find(_spec(match))
        if match["label"]:
            self._faults.strike(version)
        name = request.signature_name or DEFAULT_SIGNATURE
        if name not in servable.signature_defs:
            raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
        inputs = request.tensors(servable.signature_defs[name].inputs)
        return request.answer(servable.predict(name, inputs))

    def _describe(self, match: re.Match[str]) -> bytes:
        if not match["model"]:
            raise invalid_argument("Missing model name in request.")
        spec = _spec(match)
        if not match["metadata"]:
            return json.dumps(_as_json(model_status(self._core, spec)), indent=1).encode()
        version, signatures = signature_defs(self._core, spec)
        answered = {"name": spec.name, "signature_name": "", "version": str(version)}
        document = {"model_spec": answered, "metadata": {SIGNATURE_DEF: _as_json(signatures)}}
        return json.dumps(document, indent=1).encode()


class RestServer:
    """The REST API on a port, on a thread of its own.

    Args:
        api: see :class:`RestApi`.
        metrics: served below ``metrics_path``, unless that is None.
        metrics_path: see above.
        log_requests: whether each request has a line in the log.
    """

    def __init__(
        self, api: RestApi, metrics: Metrics, metrics_path: str | None, log_requests: bool = False
    ) -> None:
        async def respond(request: Request) -> Response:
            body = await request.body()
            path = request.scope["raw_path"].decode("ascii")
            status, content = await run_in_threadpool(api.answer, request.method, path, body)
            return Response(content, status, media_type="application/json")

        async def scrape(_: Request) -> Response:
            return PlainTextResponse(metrics.exposition())

        routes = [Route(metrics_path, scrape)] if metrics_path else []
        routes.append(Route("/v1/{rest:path}", respond, methods=["GET", "POST"]))
        starlette = Starlette(routes=routes)
        app = RestRequestLog(starlette) if log_requests else starlette
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    def start(self, host: str, port: int) -> None:
        """Start to answer.

        Raises:
            OSError: if the port is taken.
        """
        listener = socket.create_server((host, port), backlog=128)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="rest", daemon=True)
        self._thread.start()
        log.info("Exporting HTTP/REST API at %s:%d", host, port)

    def stop(self) -> None:
        """Answer what has been asked, and close the port."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()


def _spec(match: re.Match[str]) -> Any:
    spec = ModelSpec(name=unquote(match["model"]))
    if match["version"]:
        if int(match["version"]) > INT64_MAX:
            raise invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(match["version"])
    if match["label"]:
        spec.version_label = unquote(match["label"])
    return spec


def _as_json(message: Any) -> Any:
    return MessageToDict(message, preserving_proto_field_name=True, including_default_value_fields=True)
