"""Asking at a constant rate: how many wait at once, and what is written of each."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from typing import Any

import pytest

from tests.demo.open_loop import Answer, Ask, ask_until

RATE = 1_000_000.0  # more than can be sent: the next request is always due
COUNT, FEW = 60, 5


def answers_of(ask: Ask, stopping: asyncio.Event, unanswered: int) -> list[dict[str, Any]]:
    answers = io.StringIO()
    asyncio.run(ask_until(stopping, itertools.repeat(ask), RATE, answers, unanswered))
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def test_a_server_that_pauses_is_asked_on() -> None:
    numbers, resumed = itertools.count(1), asyncio.Event()

    async def ask() -> Answer:
        if (number := next(numbers)) == COUNT:
            resumed.set()
        await resumed.wait()
        return {"number": number}

    answers = answers_of(ask, stopping=resumed, unanswered=COUNT)

    assert sorted(answer["number"] for answer in answers) == list(range(1, COUNT + 1))


def test_no_more_requests_wait_than_may_and_each_was_due_at_its_rate() -> None:
    numbers, waiting, most, stopping = itertools.count(1), set[int](), 0, asyncio.Event()

    async def ask() -> Answer:
        nonlocal most
        waiting.add(number := next(numbers))
        most = max(most, len(waiting))
        for _ in range(2 * FEW):
            await asyncio.sleep(0)  # others are asked meanwhile
        waiting.remove(number)
        if number == COUNT:
            stopping.set()
        return {"number": number}

    answers = answers_of(ask, stopping, unanswered=FEW)

    assert most == FEW
    due = [answer["due"] for answer in sorted(answers, key=lambda answer: answer["number"])]
    assert due[-1] - due[0] == pytest.approx((len(due) - 1) / RATE, rel=0.01)
    assert answers[-1]["sent"] > answers[-1]["due"]
