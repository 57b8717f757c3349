from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from ml.config import Pipeline
from ml.store import Draft
from ml.training import TrainingData
from ml.training.plan import Plan
from ml.training.planning import make_plan
from tests.ml.small_pipeline import HOLDOUT, land, purchases, small_pipeline


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return small_pipeline(tmp_path / "small")


@pytest.fixture(scope="package")
def rows() -> pa.Table:
    return purchases(3000)


@pytest.fixture(scope="package")
def examples(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return land(rows, tmp_path_factory.mktemp("landed") / "2026-03-10", row_group_size=400)


@pytest.fixture
def data(examples: Path) -> TrainingData:
    return TrainingData([examples], HOLDOUT)


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    path = tmp_path / "model"
    path.mkdir()
    return Draft(path, "model")


@pytest.fixture
def plan(pipeline: Pipeline, data: TrainingData, draft: Draft) -> Plan:
    return make_plan(pipeline, data, draft)
