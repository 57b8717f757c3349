"""Asking at a constant rate, whether those before were answered or not: a server that pauses is asked on."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TextIO

import aiohttp

CALL_SECONDS = 60
# Shorter than any server keeps one: who asks on a connection that is just being closed gets no answer.
IDLE_SECONDS = 2

Answer = dict[str, Any]
Ask = Callable[[], Awaitable[Answer]]


def open_client() -> aiohttp.ClientSession:
    """A client that keeps connections for a short while; to be used in an ``async with`` block."""
    connections = aiohttp.TCPConnector(keepalive_timeout=IDLE_SECONDS)
    return aiohttp.ClientSession(connector=connections, timeout=aiohttp.ClientTimeout(CALL_SECONDS))


async def ask_constantly(ways: Iterator[Ask], rate: float, answers: TextIO) -> None:
    """Ask until SIGTERM comes, and wait for the last answer.

    Args:
        ways: of asking, one after the other.
        rate: requests a second.
        answers: gets a line of JSON for each answer, in the order in which they come.
    """
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with asyncio.TaskGroup() as requests:
        due = time.monotonic()
        while not stopping.is_set():
            requests.create_task(_write_answer(next(ways), due, answers))
            due += 1 / rate
            await asyncio.sleep(due - time.monotonic())


async def _write_answer(ask: Ask, due: float, answers: TextIO) -> None:
    """Ask once, and write a line: when it was due, sent and answered, and what came."""
    sent = time.monotonic()
    answer = await ask()
    times = {"due": due, "sent": sent, "answered": time.monotonic()}
    answers.write(json.dumps(answer | times) + "\n")
