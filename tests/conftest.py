"""What every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.artifact import Window
from ml.store import Store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A RETRAIN_HOME of the test's own."""
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def store(home: Path) -> Store:
    return Store.from_environment()


@pytest.fixture
def window() -> Window:
    return Window.parse("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")
