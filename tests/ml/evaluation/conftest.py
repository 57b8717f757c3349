"""What the tests of evaluation and gate share."""

from __future__ import annotations

import numpy as np
import pytest

from ml.config import Drift, Floors, Gate, Pipeline, Slice
from ml.pipelines import load_pipeline


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    """The clicks pipeline with a gate of the tests' own, so that its settings can change without them."""
    gate = Gate(
        metric="auc",
        min_gain=0.002,
        confidence=0.95,
        slice_margin=0.01,
        min_examples=1000,
        min_slice_examples=200,
        floors=Floors(auc=0.6, calibration_low=0.8, calibration_high=1.25),
    )
    drift = Drift(thresholds={"device": 0.05, "price": 0.1})
    slices = (Slice(by="device"), Slice(name="new_user", where={"user_type": ("new",)}))
    return load_pipeline("clicks").model_copy(update={"gate": gate, "drift": drift, "slices": slices})


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(20261121)
