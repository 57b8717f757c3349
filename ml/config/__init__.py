"""The settings of a pipeline, a module for each part of ``pipeline.yaml``. Every key is explained there."""

from ml.config.canary import Canary, Realised, Rollout
from ml.config.data import Housekeeping, Landing, Severity, Snapshots, Validation
from ml.config.features import Categorical, Cross, Features, Numeric
from ml.config.gate import Drift, Floors, Gate, Slice
from ml.config.pipeline import Pipeline
from ml.config.serving import Approval, Serving, Watch
from ml.config.training import Training

__all__ = [
    "Approval",
    "Canary",
    "Categorical",
    "Cross",
    "Drift",
    "Features",
    "Floors",
    "Gate",
    "Housekeeping",
    "Landing",
    "Numeric",
    "Pipeline",
    "Realised",
    "Rollout",
    "Serving",
    "Severity",
    "Slice",
    "Snapshots",
    "Training",
    "Validation",
    "Watch",
]
