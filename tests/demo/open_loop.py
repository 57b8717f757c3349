"""Asking at a constant rate, whether those before were answered or not: a server that pauses is asked on."""

from __future__ import annotations

import asyncio
import json
import math
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TextIO

import aiohttp

CALL_SECONDS = 60
# Shorter than any server keeps one: who asks on a connection that is just being closed gets no answer.
IDLE_SECONDS = 2
# What is due in so long may be unanswered; no more is sent until some of it is. Of a machine that is asked
# more than it can answer, each request would wait longer than the last, until all are given up.
UNANSWERED_SECONDS = 10

Answer = dict[str, Any]
Ask = Callable[[], Awaitable[Answer]]


def open_client() -> aiohttp.ClientSession:
    """A client that keeps connections for a short while; to be used in an ``async with`` block."""
    connections = aiohttp.TCPConnector(keepalive_timeout=IDLE_SECONDS)
    return aiohttp.ClientSession(connector=connections, timeout=aiohttp.ClientTimeout(CALL_SECONDS))


async def ask_constantly(ways: Iterator[Ask], rate: float, answers: TextIO) -> None:
    """Ask until SIGTERM comes, and wait for the last answer; see `ask_until`."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await ask_until(stopping, ways, rate, answers, math.ceil(rate * UNANSWERED_SECONDS))


async def ask_until(
    stopping: asyncio.Event, ways: Iterator[Ask], rate: float, answers: TextIO, unanswered: int
) -> None:
    """Ask until it is time to stop, and wait for the last answer.

    Args:
        stopping: when it is time.
        ways: of asking, one after the other.
        rate: requests a second.
        answers: gets a line of JSON for each answer, in the order in which they come.
        unanswered: how many requests at most. Beyond that they are sent late, but due they are at their rate.
    """
    places = asyncio.Semaphore(unanswered)
    async with asyncio.TaskGroup() as requests:
        due = time.monotonic()
        while not stopping.is_set():
            await places.acquire()
            request = requests.create_task(_write_answer(next(ways), due, answers))
            request.add_done_callback(lambda _: places.release())
            due += 1 / rate
            await asyncio.sleep(due - time.monotonic())


async def _write_answer(ask: Ask, due: float, answers: TextIO) -> None:
    """Ask once, and write a line: when it was due, sent and answered, and what came."""
    sent = time.monotonic()
    answer = await ask()
    times = {"due": due, "sent": sent, "answered": time.monotonic()}
    answers.write(json.dumps(answer | times) + "\n")
