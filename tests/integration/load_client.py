"""Asks at a constant rate over REST and gRPC in turn, and writes down every answer: a process of its own.

    python -m tests.integration.load_client QUESTION.json ANSWERS.jsonl

It ends by SIGTERM, after the last answer. No TensorFlow is imported: gRPC's bytes are written as they come.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from itertools import cycle
from pathlib import Path
from typing import Any, TextIO

import aiohttp
import grpc

from tests.demo.open_loop import CALL_SECONDS, Answer, ask_constantly, open_client

JSON = {"Content-Type": "application/json"}
PREDICT = "/tensorflow.serving.PredictionService/Predict"

AskAs = Callable[[str], Awaitable[Answer]]


async def ask_over_both(question: dict[str, Any], answers: TextIO) -> None:
    """Ask until SIGTERM comes.

    Args:
        question: keys of `tests.integration.constant_load.Question`.
        answers: see `ask_constantly`.
    """
    async with open_client() as client, grpc.aio.insecure_channel(question["grpc"]) as channel:
        ways = cycle((rest(client, question), grpc_bytes(channel, question)))
        turns = zip(ways, cycle(question["users"]), strict=True)
        await ask_constantly((partial(_ask_as, *turn) for turn in turns), question["rate"], answers)


async def _ask_as(way: AskAs, user: str) -> Answer:
    return {**await way(user), "user": user}


def rest(client: aiohttp.ClientSession, question: dict[str, Any]) -> AskAs:
    """A way to ask over REST."""
    body = json.dumps(question["body"]).encode()

    async def ask(user: str) -> Answer:
        headers = {**JSON, "X-User-Id": user}
        try:
            async with client.post(question["rest"], data=body, headers=headers) as answer:
                content = await answer.text()
        except (TimeoutError, aiohttp.ClientError) as error:
            return {"face": "rest", "error": repr(error)}
        if answer.status != HTTPStatus.OK:
            return {"face": "rest", "error": f"{answer.status}: {content}"}
        return {"face": "rest", "content": content}

    return ask


def grpc_bytes(channel: grpc.aio.Channel, question: dict[str, Any]) -> AskAs:
    """A way to ask over gRPC."""
    predict = channel.unary_unary(PREDICT)
    request = base64.b64decode(question["request"])

    async def ask(user: str) -> Answer:
        try:
            answer = await predict(request, timeout=CALL_SECONDS, metadata=[("x-user-id", user)])
        except grpc.aio.AioRpcError as error:
            return {"face": "grpc", "error": f"{error.code()}: {error.details()}"}
        return {"face": "grpc", "content": base64.b64encode(answer).decode()}

    return ask


if __name__ == "__main__":
    with Path(sys.argv[2]).open("w", buffering=1) as file:
        asyncio.run(ask_over_both(json.loads(Path(sys.argv[1]).read_text()), file))
