"""Moves of a label under constant load, and what the users of each track saw of each."""

from __future__ import annotations

import hashlib
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
    """What a track's users are answered by, while a label moves. A move need not concern them.

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
class Trial:
    """A version on trial, through the router.

    Attributes:
        model: the served model's name.
        version: on trial.
        share: of the users whom the canary answers.
    """

    model: str
    version: int
    share: float

    def has(self, user: str) -> bool:
        """Whether the router sends this user to the canary, by the formula of deploy/router/router.js."""
        digest = hashlib.md5(f"{self.model}/{self.version}/{user}".encode(), usedforsecurity=False)
        return int(digest.hexdigest()[:8], 16) / 2**32 < self.share


@dataclass(frozen=True)
class Step:
    """A move, by the versions that answer before and afterwards.

    Attributes:
        old: that answers stable's users before.
        new: that answers them afterwards.
        trial: whose users see another version before, afterwards, or both; None without one.
        tried: the versions that answer those before and afterwards.
    """

    old: int
    new: int
    trial: Trial | None = None
    tried: tuple[int, int] = (0, 0)

    def concerns(self, user: str, begun: float, done: float) -> Moving:
        """The move as this user may see it."""
        if self.trial and self.trial.has(user):
            return Moving(*self.tried, begun, done)
        return Moving(self.old, self.new, begun, done)


@dataclass(frozen=True)
class Made:
    """A move that was made: from when to when, by the monotonic clock."""

    step: Step
    begun: float
    done: float

    def concerns(self, user: str) -> Moving:
        """The move as this user may see it."""
        return self.step.concerns(user, self.begun, self.done)


@dataclass(frozen=True)
class Seen:
    """What users saw of a move.

    Attributes:
        asked: how many requests were answered or failed.
        failed: those that failed.
        wrong: answers of a version that should not have answered then, or of none.
        last_old_seconds: from the moment that the move was asked for to the last answer of the old version to
            those whose version changes; None if nobody's does.
        by_trial: answers of the version on trial to its users.
        seconds: from then to the moment that the move was reported done.
        rate: requests a second that were really sent.
    """

    asked: int
    failed: list[Answer]
    wrong: list[Answer]
    last_old_seconds: float | None
    seconds: float
    rate: float
    by_trial: int = 0


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
        self._before: Made | None = None

    def watch(self, step: Step, move: Callable[[], object], settled: int = 100) -> Seen:
        """Judge all answers from before a move until this many requests were sent and answered after it."""
        self.load.await_answers(settled)
        begun = time.monotonic()
        move()
        made, before = Made(step, begun, time.monotonic()), self._before
        self.load.await_answers(settled)
        answers = self.load.answers()[self._judged :]
        self._judged, self._before = self._judged + len(answers), made
        # Who had asked before the last move was done, and was answered late, is held against that one.
        late = [before is not None and answer.sent <= before.done for answer in answers]
        moves = [before if before and is_late else made for is_late in late]
        return self._judge(
            answers, [move.concerns(answer.user) for answer, move in zip(answers, moves, strict=True)], made
        )

    def _judge(self, answers: list[Answer], moving: list[Moving], made: Made) -> Seen:
        given = [
            (answer, way, self._version(answer, way)) for answer, way in zip(answers, moving, strict=True)
        ]
        good = [each for each in given if not each[0].error]
        by_old = [
            answer.answered - made.begun
            for answer, way, version in good
            if version == way.old != way.new and way.begun == made.begun
        ]
        sent, trial = [answer.sent for answer in answers], made.step.trial
        tried = [answer for answer, _, version in good if trial and version == trial.version]
        return Seen(
            asked=len(answers),
            failed=[answer for answer in answers if answer.error],
            wrong=[answer for answer, way, version in good if not way.allows(answer, version)],
            last_old_seconds=max(by_old) if by_old else None,
            seconds=made.done - made.begun,
            rate=len(sent) / (max(sent) - min(sent)),
            by_trial=sum(trial.has(answer.user) for answer in tried) if trial else 0,
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
