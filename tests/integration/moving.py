"""Moves of the label under constant load, and what users saw of each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.constant_load import PRICE, Answer, ConstantLoad, Question, constant_load
from tests.integration.publishing import DIVISORS, Place, price_score

TOLERANCE = 1e-6


@dataclass(frozen=True)
class Moving:
    """A label that moves from one version to another.

    Attributes:
        old: the version that answers before.
        new: the one that answers afterwards.
        begun: when the move was asked for, by the monotonic clock.
        done: when it was reported done.
    """

    old: int
    new: int
    begun: float
    done: float

    def allows(self, answer: Answer, version: int | None) -> bool:
        """Whether this version may have given this answer: either one, but none before or after its time."""
        if answer.answered < self.begun:
            return version == self.old
        if answer.sent > self.done:
            return version == self.new
        return version in (self.old, self.new)


@dataclass(frozen=True)
class Seen:
    """What users saw of a move.

    Attributes:
        asked: how many requests were answered or failed.
        failed: those that failed.
        wrong: answers of a version that should not have answered then, or of none.
        last_old_seconds: from the moment that the move was asked for to the last answer of the old version.
        seconds: from then to the moment that the move was reported done.
        rate: requests a second that were really sent.
    """

    asked: int
    failed: list[Answer]
    wrong: list[Answer]
    last_old_seconds: float
    seconds: float
    rate: float


class Users:
    """Those who ask constantly, and who know how each version answers.

    Args:
        load: their requests.
        models: the name in DIVISORS of the model behind each version that there is or will be.
    """

    def __init__(self, load: ConstantLoad, models: Mapping[int, str]) -> None:
        self.load = load
        self._scores = {number: price_score(PRICE, DIVISORS[name]) for number, name in models.items()}
        self._judged = 0

    def watch(self, old: int, new: int, move: Callable[[], object], settled: int = 100) -> Seen:
        """Judge all answers from before a move until this many requests were sent and answered after it."""
        self.load.await_answers(settled)
        begun = time.monotonic()
        move()
        moving = Moving(old, new, begun, time.monotonic())
        self.load.await_answers(settled)
        answers = self.load.answers()[self._judged :]
        self._judged += len(answers)
        return self._judge(answers, moving)

    def _judge(self, answers: list[Answer], moving: Moving) -> Seen:
        given = [(answer, self._version(answer, moving)) for answer in answers if not answer.error]
        by_old = [answer.answered for answer, version in given if version == moving.old]
        sent = [answer.sent for answer in answers]
        return Seen(
            asked=len(answers),
            failed=[answer for answer in answers if answer.error],
            wrong=[answer for answer, version in given if not moving.allows(answer, version)],
            last_old_seconds=max(by_old) - moving.begun,
            seconds=moving.done - moving.begun,
            rate=len(sent) / (max(sent) - min(sent)),
        )

    def _version(self, answer: Answer, moving: Moving) -> int | None:
        """Which of the two gave this score; None if neither, or if gRPC names another one."""
        for version in (moving.old, moving.new):
            if math.isclose(answer.score or 0, self._scores[version], abs_tol=TOLERANCE):
                return version if answer.version in (None, version) else None
        return None


@contextmanager
def asking(
    home: Path, place: Place, models: Mapping[int, str], rest: str, grpc: str, rate: float
) -> Iterator[Users]:
    """Have users ask at these addresses while the block runs."""
    question = Question.about_one_row(place.pipeline, rest, grpc, rate)
    with constant_load(home, question) as load:
        yield Users(load, models)
