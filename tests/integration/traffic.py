"""Users who never stop asking, over REST and gRPC, and every answer that they got."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import grpc
import httpx
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tests.integration.scoring_model import DTYPES, ROWS

CALL_SECONDS = 60
WAIT_SECONDS = 120


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        face: ``rest`` or ``grpc``.
        user: who asked.
        score: of the first row; None if the request failed.
        error: what came instead.
        asked: when, by the monotonic clock.
    """

    face: str
    user: str
    score: float | None
    error: str = ""
    asked: float = 0.0


class RestUsers:
    """Asks over REST."""

    face = "rest"

    def __init__(self, address: str, model: str) -> None:
        self._client = httpx.Client(base_url=address, timeout=CALL_SECONDS)
        self._path = f"/v1/models/{model}:predict"
        self._body = {
            "instances": [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]
        }

    def ask(self, user: str, trace: str = "") -> Reply:
        headers = {"X-User-Id": user, "X-Request-Id": trace}
        try:
            answer = self._client.post(self._path, json=self._body, headers=headers)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            return Reply(self.face, user, None, repr(error))
        return Reply(self.face, user, answer.json()["predictions"][0][0])

    def close(self) -> None:
        self._client.close()


class GrpcUsers:
    """Asks over gRPC."""

    face = "grpc"

    def __init__(self, address: str, model: str, label: str = "") -> None:
        self._channel = grpc.insecure_channel(address)
        self._predict = PredictionServiceStub(self._channel).Predict
        self._request = PredictRequest()
        self._request.model_spec.name = model
        if label:
            self._request.model_spec.version_label = label
        for name, values in ROWS.items():
            self._request.inputs[name].CopyFrom(tf.make_tensor_proto(values, DTYPES[name]))

    def ask(self, user: str, trace: str = "") -> Reply:
        metadata = [("x-user-id", user), ("x-request-id", trace)]
        try:
            answer = self._predict(self._request, timeout=CALL_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            return Reply(self.face, user, None, f"{error.code()}: {error.details()}")
        return Reply(self.face, user, float(tf.make_ndarray(answer.outputs["score"])[0][0]))

    def close(self) -> None:
        self._channel.close()


class Traffic:
    """Asks without pause, one thread for each way of asking."""

    def __init__(self, ways: Sequence[RestUsers | GrpcUsers], users: Sequence[str]) -> None:
        self.replies: list[Reply] = []
        self._news = threading.Condition()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(way.ask, users)) for way in ways]

    @property
    def failures(self) -> list[Reply]:
        return [reply for reply in self.replies if reply.score is None]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def await_more(self, count: int) -> list[Reply]:
        """Wait for this many answers to requests that were sent from now on, and return them."""
        now = time.monotonic()
        with self._news:
            self._news.wait_for(lambda: len(self._since(now)) >= count, WAIT_SECONDS)
            replies = self._since(now)
        assert len(replies) >= count, f"{len(replies)} answers in {WAIT_SECONDS} s, expected {count}"
        return replies

    def _since(self, moment: float) -> list[Reply]:
        return [reply for reply in self.replies if reply.asked >= moment]

    def _run(self, ask: Callable[[str], Reply], users: Sequence[str]) -> None:
        for user in itertools.cycle(users):
            if self._stopping.is_set():
                return
            asked = time.monotonic()
            reply = replace(ask(user), asked=asked)
            with self._news:
                self.replies.append(reply)
                self._news.notify_all()


@contextmanager
def asking(ways: Sequence[RestUsers | GrpcUsers], users: Sequence[str]) -> Iterator[Traffic]:
    """Keep asking while the block runs."""
    traffic = Traffic(ways, users)
    traffic.start()
    try:
        yield traffic
    finally:
        traffic.stop()
        for way in ways:
            way.close()
