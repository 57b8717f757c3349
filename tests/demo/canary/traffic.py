"""The users' process, and what they were answered by which track: their own count beside the router's log."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tests.demo.clicks import Day, render
from tests.demo.model_server.process import REPOSITORY
from tests.demo.process import ManagedProcess
from tests.demo.router import Router

QUESTIONS = 2000
ANSWER_SECONDS = 120
UNKNOWN = "unknown"  # of a request that the router has not logged


@dataclass(frozen=True)
class Answered:
    """What the users of one track got.

    Attributes:
        requests: how many they sent.
        failed_behind: how many of them their own track failed, before stable was asked.
        errors: how many they got no good answer to.
        usual_error: the commonest of these; empty without any.
        seconds: how long they waited for each from when it was due, ascending.
    """

    requests: int
    failed_behind: int
    errors: int
    usual_error: str
    seconds: tuple[float, ...]

    def milliseconds(self, part: float) -> float:
        """A quantile of how long they waited; NaN if nobody asked."""
        return float(np.quantile(self.seconds, part)) * 1000 if self.seconds else float("nan")


@contextmanager
def asking_users(
    home: Path, router: Router, day: Day, features: Iterable[str], rate: float
) -> Iterator[Path]:
    """Let users ask while the block runs, from the first answer on.

    Args:
        home: of the questions, the answers and the log.
        router: who is asked.
        day: whose events they ask about.
        features: what a request says of an event.
        rate: requests a second.

    Yields:
        The file of the answers.
    """
    home.mkdir(parents=True, exist_ok=True)
    questions, answers = home / "questions.jsonl", home / "answers.jsonl"
    questions.write_text(
        "".join(f"{json.dumps(question)}\n" for question in questions_of(day, set(features)))
    )
    answers.write_text("")
    address = f"{router.rest}/v1/models/clicks:predict"
    argv = [sys.executable, "-m", "tests.demo.canary.users", address, questions, str(rate), answers]
    with ManagedProcess("users", argv, home / "users.log", cwd=REPOSITORY) as users:
        users.wait_until(lambda: answers.stat().st_size, ANSWER_SECONDS, "answered")
        yield answers


def questions_of(day: Day, features: set[str]) -> list[dict[str, Any]]:
    """What users ask: about the first events of a day that say all that a request has to say."""
    events = (json.loads(line) for block in day.blocks() for line in render(day, block))
    whole = (event for event in events if event.keys() >= features)
    return [
        {"user": event["user_id"], "body": {"instances": [{name: event[name] for name in features}]}}
        for event in islice(whole, QUESTIONS)
    ]


def count_answers(answers: Path, access_log: Path) -> dict[str, Answered]:
    """Track → what its users got. The two are joined by trace id."""
    logged = {line["trace"]: line for line in _lines(access_log)}
    by_track: dict[str, list[dict[str, Any]]] = {}
    for answer in _lines(answers):
        line = logged.get(answer["trace"], {"track": UNKNOWN, "outcome": UNKNOWN})
        by_track.setdefault(line["track"], []).append(answer | {"outcome": line["outcome"]})
    return {track: _answered(found) for track, found in sorted(by_track.items())}


def _answered(answers: list[dict[str, Any]]) -> Answered:
    errors = [answer.get("error") or str(answer["status"]) for answer in answers if is_error(answer)]
    return Answered(
        requests=len(answers),
        failed_behind=sum(answer["outcome"] == "failed" for answer in answers),
        errors=len(errors),
        usual_error=Counter(errors).most_common(1)[0][0] if errors else "",
        seconds=tuple(sorted(answer["answered"] - answer["due"] for answer in answers)),
    )


def is_error(answer: dict[str, Any]) -> bool:
    """Whether a user got no good answer."""
    return bool(answer["status"] != HTTPStatus.OK)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open() as opened:
        for line in opened:
            if line.endswith("\n"):
                yield json.loads(line)
