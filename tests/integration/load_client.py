"""Asks at a constant rate over REST and gRPC in turn, and writes down every answer: a process of its own.

    python -m tests.integration.load_client QUESTION.json ANSWERS.jsonl

The loop is open: a request is sent when it is due, whether those before it were answered or not, so a server
that pauses is asked on like users would. It ends by SIGTERM, after the last answer. No TensorFlow is
imported: gRPC's bytes are written down as they come.
"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from itertools import cycle
from pathlib import Path
from typing import Any, TextIO

import aiohttp
import grpc

CALL_SECONDS = 60
# Shorter than any server keeps one: who asks on a connection that is just being closed gets no answer.
IDLE_SECONDS = 2
JSON = {"Content-Type": "application/json"}
PREDICT = "/tensorflow.serving.PredictionService/Predict"

Answer = dict[str, Any]
Ask = Callable[[], Awaitable[Answer]]


async def ask_constantly(question: dict[str, Any], answers: TextIO) -> None:
    """Ask until SIGTERM comes.

    Args:
        question: keys of `tests.integration.constant_load.Question`.
        answers: gets a line of JSON for each answer, in the order in which they come.
    """
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    connections = aiohttp.TCPConnector(keepalive_timeout=IDLE_SECONDS)
    patience = aiohttp.ClientTimeout(CALL_SECONDS)
    async with (
        aiohttp.ClientSession(connector=connections, timeout=patience) as client,
        grpc.aio.insecure_channel(question["grpc"]) as channel,
        asyncio.TaskGroup() as requests,
    ):
        ways = cycle((rest(client, question), grpc_bytes(channel, question)))
        due = time.monotonic()
        while not stopping.is_set():
            requests.create_task(write_answer(next(ways), due, answers))
            due += 1 / question["rate"]
            await asyncio.sleep(due - time.monotonic())


async def write_answer(ask: Ask, due: float, answers: TextIO) -> None:
    """Ask once, and write a line: when it was due, sent and answered, and what came."""
    sent = time.monotonic()
    answer = await ask()
    times = {"due": due, "sent": sent, "answered": time.monotonic()}
    answers.write(json.dumps(answer | times) + "\n")


def rest(client: aiohttp.ClientSession, question: dict[str, Any]) -> Ask:
    """A way to ask over REST."""
    body = json.dumps(question["body"]).encode()

    async def ask() -> Answer:
        try:
            async with client.post(question["rest"], data=body, headers=JSON) as answer:
                content = await answer.text()
        except (TimeoutError, aiohttp.ClientError) as error:
            return {"face": "rest", "error": repr(error)}
        if answer.status != HTTPStatus.OK:
            return {"face": "rest", "error": f"{answer.status}: {content}"}
        return {"face": "rest", "content": content}

    return ask


def grpc_bytes(channel: grpc.aio.Channel, question: dict[str, Any]) -> Ask:
    """A way to ask over gRPC."""
    predict = channel.unary_unary(PREDICT)
    request = base64.b64decode(question["request"])

    async def ask() -> Answer:
        try:
            answer = await predict(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            return {"face": "grpc", "error": f"{error.code()}: {error.details()}"}
        return {"face": "grpc", "content": base64.b64encode(answer).decode()}

    return ask


if __name__ == "__main__":
    with Path(sys.argv[2]).open("w", buffering=1) as file:
        asyncio.run(ask_constantly(json.loads(Path(sys.argv[1]).read_text()), file))
