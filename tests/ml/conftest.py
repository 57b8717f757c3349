"""What every test of ``ml`` may use."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ml.artifact import Artifact
from ml.walk import Walk


@pytest.fixture
def nights_end(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the nights end in these ways, one after the other."""

    def end(*outcomes: Artifact | BaseException) -> None:
        remaining = iter(outcomes)

        def push(walk: Walk) -> Artifact:
            outcome = next(remaining)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(Walk, "push_model", property(push))

    return end
