"""A constant load of predictions on a served version, and every answer that came."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

from ml.config import Pipeline
from ml.features.requests import request_columns
from tests.demo.model_server.process import REPOSITORY
from tests.demo.process import ManagedProcess

WAIT_SECONDS = 120
PRICE = 30.0
# An odd number: each of them asks over REST and gRPC in turn.
USERS = tuple(f"user-{number}" for number in range(101))
VALUES: dict[str, Any] = {"string": "any", "int64": 1, "float32": PRICE}


@dataclass(frozen=True)
class Question:
    """What users ask, and how often.

    Attributes:
        rest: the address of the prediction, with the label.
        body: of the REST request.
        grpc: ``host:port``.
        request: a serialized PredictRequest with the same row and label, in base64.
        rate: requests a second, over both together.
        users: who ask, one after the other.
    """

    rest: str
    body: dict[str, Any]
    grpc: str
    request: str
    rate: float
    users: tuple[str, ...] = USERS

    @classmethod
    def about_one_row(cls, pipeline: Pipeline, rest: str, grpc: str, rate: float) -> Question:
        """One row of the pipeline's features, whose price is ``PRICE``."""
        model, label = pipeline.serving.model, pipeline.serving.label
        columns = request_columns(pipeline)
        request = PredictRequest()
        request.model_spec.name, request.model_spec.version_label = model, label
        for name, dtype in columns.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto([VALUES[dtype]], dtype))
        return cls(
            rest=f"{rest}/v1/models/{model}/labels/{label}:predict",
            body={"instances": [{name: VALUES[dtype] for name, dtype in columns.items()}]},
            grpc=grpc,
            request=base64.b64encode(request.SerializeToString()).decode(),
            rate=rate,
        )


@dataclass(frozen=True)
class Answer:
    """One answer; times are of the monotonic clock, which all processes of a machine share.

    Attributes:
        face: ``rest`` or ``grpc``.
        due: when the request should have been sent.
        sent: when it was.
        answered: when the answer was there.
        score: None if the request failed.
        version: that gRPC names; None over REST, which names none.
        error: what came instead.
        user: who asked.
    """

    face: str
    due: float
    sent: float
    answered: float
    score: float | None = None
    version: int | None = None
    error: str = ""
    user: str = ""


class ConstantLoad:
    """A running load."""

    def __init__(self, process: ManagedProcess, file: Path) -> None:
        self._process, self._file, self._position = process, file, 0
        self._answers: list[Answer] = []

    def answers(self) -> list[Answer]:
        """All that have come so far, in the order in which they came."""
        with self._file.open("rb") as file:
            file.seek(self._position)
            for line in file:
                if line.endswith(b"\n"):
                    self._position += len(line)
                    self._answers.append(read_answer(json.loads(line)))
        return self._answers

    def await_answers(self, count: int) -> None:
        """Wait for the answers to this many requests that are sent from now on."""
        now = time.monotonic()
        self._process.wait_until(
            lambda: sum(answer.sent >= now for answer in self.answers()) >= count,
            WAIT_SECONDS,
            f"answered {count} times",
        )


def read_answer(line: dict[str, Any]) -> Answer:
    """An answer from the client's words."""
    content = line.pop("content", None)
    if content is None:
        return Answer(**line)
    score, version = (score_of_rest if line["face"] == "rest" else score_of_grpc)(content)
    return Answer(**line, score=score, version=version)


@cache
def score_of_rest(content: str) -> tuple[float, None]:
    """The score in a REST answer."""
    return float(np.ravel(json.loads(content)["predictions"])[0]), None


@cache
def score_of_grpc(content: str) -> tuple[float, int]:
    """The score and the version in a PredictResponse."""
    response = PredictResponse.FromString(base64.b64decode(content))
    score = tf.make_ndarray(response.outputs["score"])
    return float(np.ravel(score)[0]), int(response.model_spec.version.value)


@contextmanager
def constant_load(home: Path, question: Question) -> Iterator[ConstantLoad]:
    """Ask, from the first answer on to the end of the block; a process of its own does it."""
    home.mkdir(parents=True, exist_ok=True)
    asked, answers = home / "question.json", home / "answers.jsonl"
    asked.write_text(json.dumps(asdict(question)))
    answers.touch()
    argv = [sys.executable, "-m", "tests.integration.load_client", asked, answers]
    with ManagedProcess("load client", argv, home / "client.log", cwd=REPOSITORY) as process:
        load = ConstantLoad(process, answers)
        load.await_answers(1)
        yield load
