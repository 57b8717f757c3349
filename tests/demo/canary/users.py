"""Users who never stop asking the router, each for the clicks of their own log: a process of its own.

    python -m tests.demo.canary.users ROUTER QUESTIONS.jsonl RATE ANSWERS.jsonl

It ends by SIGTERM, after the last answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, TextIO

import aiohttp

from tests.demo.open_loop import Answer, Ask, ask_constantly, open_client

Question = dict[str, Any]


async def ask_the_router(address: str, questions: list[Question], rate: float, answers: TextIO) -> None:
    """Ask until SIGTERM comes.

    Args:
        address: where a model is asked.
        questions: ``user`` and ``body`` of each, over and over.
        rate: requests a second.
        answers: gets a line for each, with its ``trace`` and ``status``, 0 if there was no answer.
    """
    async with open_client() as client:
        await ask_constantly(requests(client, address, questions), rate, answers)


def requests(client: aiohttp.ClientSession, address: str, questions: list[Question]) -> Iterator[Ask]:
    """The questions, each time with a trace id of its own."""
    for number in count():
        yield request(client, address, questions[number % len(questions)], f"demo-{number}")


def request(client: aiohttp.ClientSession, address: str, question: Question, trace: str) -> Ask:
    """One user's question."""
    body = json.dumps(question["body"]).encode()
    headers = {"Content-Type": "application/json", "X-User-Id": question["user"], "X-Request-Id": trace}

    async def ask() -> Answer:
        try:
            async with client.post(address, data=body, headers=headers) as answer:
                await answer.read()
                return {"trace": trace, "status": answer.status}
        except (TimeoutError, aiohttp.ClientError) as error:
            return {"trace": trace, "status": 0, "error": repr(error)}

    return ask


def main(address: str, questions: Path, rate: float, answers: Path) -> None:
    """Ask, with both files open."""
    asked = [json.loads(line) for line in questions.read_text().splitlines()]
    with answers.open("w", buffering=1) as file:
        asyncio.run(ask_the_router(address, asked, rate, file))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
