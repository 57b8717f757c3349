"""Questions that are asked at the same time, and waited for together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, wait
from functools import partial
from typing import Generic, TypeVar

ASKING = "asking"

Name = TypeVar("Name", bound=Hashable)
Answer = TypeVar("Answer")


class Questions(Generic[Name, Answer]):
    """Asks each question in a thread of its own, and waits for no answer longer than it is told to.

    A question that has no answer yet when it is asked again is not asked anew: whoever asks waits for the
    same answer. So one that hangs holds one thread, however often it is asked. No thread keeps the process
    from ending.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unanswered: dict[Name, Future[Answer]] = {}

    def ask(
        self, questions: Mapping[Name, Callable[[], Answer]], seconds: float
    ) -> dict[Name, Future[Answer]]:
        """Ask them all.

        Args:
            questions: name → what answers it, or raises.
            seconds: how long to wait for all of them together.

        Returns:
            Name → answer, in the order of the questions; one that is late is not ``done()``.
        """
        answers = {name: self._ask_once(name, question) for name, question in questions.items()}
        wait(answers.values(), seconds)
        return answers

    def _ask_once(self, name: Name, question: Callable[[], Answer]) -> Future[Answer]:
        with self._lock:
            if name not in self._unanswered:
                answer: Future[Answer] = Future()
                asked = (name, question, answer)
                threading.Thread(
                    target=self._answer, args=asked, name=f"{ASKING} {name}", daemon=True
                ).start()
                self._unanswered[name] = answer
            return self._unanswered[name]

    def _answer(self, name: Name, question: Callable[[], Answer], answer: Future[Answer]) -> None:
        try:
            tell = partial(answer.set_result, question())
        except Exception as error:
            tell = partial(answer.set_exception, error)
        # Before anybody has the answer, or it could be given once more to who asks next.
        with self._lock:
            del self._unanswered[name]
        tell()
