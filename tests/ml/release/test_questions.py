"""Questions that hang, and others beside them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ml.release.questions import Questions

LONG = 60


class Sleeper:
    """Answers when it is woken, and counts how often it was asked."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.asked = 0

    def answer(self) -> str:
        self.asked += 1
        self.woken.wait(LONG)
        return "good morning"


@pytest.fixture
def sleeper() -> Iterator[Sleeper]:
    sleeper = Sleeper()
    yield sleeper
    sleeper.woken.set()


def test_every_question_has_its_own_answer_or_failure():
    def fails() -> str:
        raise ValueError("no")

    answers = Questions[str, str]().ask({"one": lambda: "yes", "two": fails}, LONG)

    assert answers["one"].result() == "yes"
    assert isinstance(answers["two"].exception(), ValueError)


def test_all_are_asked_at_the_same_time():
    together = threading.Barrier(3)

    answers = Questions[int, int]().ask(dict.fromkeys(range(3), lambda: together.wait(LONG)), LONG)

    assert sorted(answer.result() for answer in answers.values()) == [0, 1, 2]


def test_one_that_hangs_is_late_and_is_not_asked_again_before_it_has_answered(sleeper: Sleeper):
    questions = Questions[str, str]()
    late = [questions.ask({"sleeper": sleeper.answer}, 0.01)["sleeper"] for _ in range(3)]
    assert [answer.done() for answer in late] == [False, False, False]

    sleeper.woken.set()

    assert {answer.result(LONG) for answer in late} == {"good morning"}
    assert sleeper.asked == 1


def test_one_that_has_answered_is_asked_anew():
    questions = Questions[str, int]()
    numbers = iter(range(9))

    answers = [questions.ask({"next": lambda: next(numbers)}, LONG)["next"].result() for _ in range(3)]

    assert answers == [0, 1, 2]
