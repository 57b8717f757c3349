"""What the tests of reading pipeline folders share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

CLICKS = Path(__file__).parents[3] / "ml" / "pipelines" / "clicks"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the clicks pipeline under another name, beside the real one."""
    copied = tmp_path / "pipelines" / "views"
    shutil.copytree(CLICKS, copied)
    monkeypatch.setenv("RETRAIN_PIPELINES", str(copied.parent))
    return copied
