from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from ml.config import Pipeline
from ml.features.fitting import Fitting
from ml.features.spec import FeatureSpec
from tests.ml.small_pipeline import purchases, small_pipeline


@pytest.fixture(scope="package")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    folder: Path = tmp_path_factory.mktemp("small")
    return small_pipeline(folder)


@pytest.fixture(scope="package")
def rows() -> pa.Table:
    return purchases(2000)


@pytest.fixture(scope="package")
def spec(pipeline: Pipeline, rows: pa.Table) -> FeatureSpec:
    fitting = Fitting(pipeline.features, pipeline.read_schema().columns, rows.num_rows)
    fitting.add(rows)
    return fitting.spec()
