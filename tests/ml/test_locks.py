from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest
from filelock import Timeout

from ml.artifact import Window
from ml.errors import Misconfigured
from ml.locks import NO_LOCKS, locked
from ml.store import Store
from tests.ml.test_store import identity, write_numbers


@pytest.fixture
def flock_answers(monkeypatch: pytest.MonkeyPatch):
    """Has the filesystem refuse every lock with this error."""

    def answer(number: int) -> None:
        def refuse(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", refuse)

    return answer


@pytest.mark.parametrize("number", NO_LOCKS)
def test_a_filesystem_without_locks_is_refused_and_named(
    flock_answers, number: int, store: Store, window: Window
) -> None:
    flock_answers(number)

    with pytest.raises(
        Misconfigured, match=r"the filesystem of .*\.locks has no locks .* as on a local disk"
    ):
        store.produce(identity(window), write_numbers)
    assert store.find(identity(window)) is None


def test_any_other_refusal_is_the_operating_systems_own(flock_answers, tmp_path: Path) -> None:
    flock_answers(errno.EIO)

    with pytest.raises(OSError, match="Input/output error"), locked(tmp_path / "lock"):
        pytest.fail("locked")


def test_a_lock_is_free_again_after_its_block(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    with locked(path), pytest.raises(Timeout), locked(path, seconds=0):
        pytest.fail("locked twice")
    with locked(path, seconds=0):
        assert path.exists()
