from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ml.config import Pipeline
from ml.pipelines import load_pipeline
from ml.store import Draft


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    return load_pipeline("clicks")


@pytest.fixture
def changed(pipeline: Pipeline) -> Callable[..., Pipeline]:
    """The clicks pipeline with some settings of one section changed."""

    def change(section: str, **settings: Any) -> Pipeline:
        content: Mapping[str, Any] = getattr(pipeline, section).model_dump()
        kind = type(getattr(pipeline, section))
        return pipeline.model_copy(update={section: kind(**{**content, **settings})})

    return change


@pytest.fixture
def draft(tmp_path: Path) -> Callable[[str], Draft]:
    """An empty draft of a kind."""

    def start(kind: str, name: str | None = None) -> Draft:
        path = tmp_path / (name or kind)
        path.mkdir()
        return Draft(path, kind)

    return start
