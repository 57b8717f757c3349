from __future__ import annotations

from pathlib import Path

import pytest

from ml.config import Pipeline
from tests.ml.housekeeping.rooms import small_house


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return small_house(tmp_path / "pipeline")
