"""A model server that answers every prediction with a half, and remembers the headers that came with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import grpc
from tensorflow_serving.apis.predict_pb2 import PredictResponse
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    PredictionServiceServicer,
    add_PredictionServiceServicer_to_server,
)

SCORE = 0.5


@dataclass
class Listening:
    """Where it listens, and what it has heard.

    Attributes:
        rest: its REST address, ``http://host:port``.
        grpc: its gRPC address, ``host:port``.
        heard: face → the headers of every request, in lower case.
    """

    rest: str
    grpc: str
    heard: dict[str, list[dict[str, str]]] = field(default_factory=lambda: {"rest": [], "grpc": []})


@contextmanager
def running_listening_server() -> Iterator[Listening]:
    """Answer over both faces while the block runs."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    rpc = grpc.server(ThreadPoolExecutor(2))
    port = rpc.add_insecure_port("127.0.0.1:0")
    listening = Listening(f"http://127.0.0.1:{http.server_port}", f"127.0.0.1:{port}")
    http.heard = listening.heard["rest"]  # type: ignore[attr-defined]
    add_PredictionServiceServicer_to_server(Service(listening.heard["grpc"]), rpc)
    thread = Thread(target=http.serve_forever)
    thread.start()
    rpc.start()
    try:
        yield listening
    finally:
        rpc.stop(None).wait()
        http.shutdown()
        thread.join()
        http.server_close()


class Answer(BaseHTTPRequestHandler):
    """The REST face."""

    def do_POST(self) -> None:
        self.server.heard.append({name.lower(): value for name, value in self.headers.items()})  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers["Content-Length"]))
        content = json.dumps({"predictions": [[SCORE]]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Be quiet."""


class Service(PredictionServiceServicer):  # type: ignore[misc]
    """The gRPC face."""

    def __init__(self, heard: list[dict[str, str]]) -> None:
        self._heard = heard

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - the proto's name
        self._heard.append({name: str(value) for name, value in context.invocation_metadata()})
        response = PredictResponse()
        response.model_spec.CopyFrom(request.model_spec)
        response.outputs["score"].dtype = 1
        response.outputs["score"].float_val.append(SCORE)
        return response
