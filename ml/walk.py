"""A whole night without Airflow: the same steps, in the order that their inputs ask for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ml import steps
from ml.artifact import Artifact, Window
from ml.connections import (
    CANARY_VARIABLE,
    KAFKA_VARIABLE,
    MLFLOW_VARIABLE,
    SERVING_VARIABLE,
    KafkaConnection,
    MlflowConnection,
    ServingConnection,
)
from ml.errors import DataRejected

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Walk:
    """One pipeline's night. Asking for an artifact runs what leads to it; what is there is used as it is.

    Attributes:
        pipeline: the pipeline's name.
        window: the day.
        refresh: a reason to judge against what serves now and not what served at the first try.
        accept_gap: a reason to land the day although records of it are gone.
        refresh_landing: a reason to land the day anew, with its late events.
    """

    pipeline: str
    window: Window
    refresh: str = ""
    accept_gap: str = ""
    refresh_landing: str = ""

    @property
    def night(self) -> dict[str, str]:
        """The arguments that say which night it is."""
        return {"pipeline": self.pipeline, **self.window.as_json()}

    @property
    def run_key(self) -> str:
        """Names the night's MLflow run for ever."""
        return f"cli/{self.pipeline}/{steps.load_pipeline(self.pipeline).name_of(self.window)}"

    @cached_property
    def resolve_production(self) -> Artifact:
        """The version that the night is judged against."""
        return steps.resolve_production(
            **self.night, refresh=self.refresh, serving=self._serving, mlflow=self._mlflow
        )

    @cached_property
    def land_examples(self) -> Artifact:
        """The landed day."""
        return steps.land_examples(
            **self.night, accept_gap=self.accept_gap, refresh=self.refresh_landing, kafka=self._kafka
        )

    @cached_property
    def compute_statistics(self) -> Artifact:
        """The day's statistics."""
        return steps.compute_statistics(self.land_examples)

    @cached_property
    def validate_examples(self) -> Artifact:
        """The day's anomalies."""
        return steps.validate_examples(self.land_examples, self.compute_statistics)

    @cached_property
    def measure_drift(self) -> Artifact:
        """The drift report."""
        return steps.measure_drift(self.compute_statistics, self.resolve_production)

    @cached_property
    def gather_window(self) -> Artifact:
        """The days of the training window."""
        return steps.gather_window(
            self.land_examples, self.compute_statistics, self.validate_examples, kafka=self._kafka
        )

    @cached_property
    def train_candidate(self) -> Artifact:
        """The candidate."""
        return steps.train_candidate(self.gather_window)

    @cached_property
    def evaluate_candidate(self) -> Artifact:
        """Candidate beside production."""
        return steps.evaluate_candidate(self.train_candidate, self.resolve_production, self.gather_window)

    @cached_property
    def decide_blessing(self) -> Artifact:
        """The verdict on what was measured, as far as the data let the night come."""
        names = ("production", "anomalies", "drift_report", "evaluation")
        return steps.decide_blessing(**self.night, evidence={name: self.made.get(name) for name in names})

    @cached_property
    def log_to_mlflow(self) -> dict[str, Any]:
        """The night's MLflow run."""
        run = {"key": self.run_key, "url": ""}
        artifacts: dict[str, Artifact | None] = {**self.made, "blessing": self.decide_blessing}
        return steps.log_to_mlflow(**self.night, run=run, artifacts=artifacts, mlflow=self._mlflow)

    @cached_property
    def push_model(self) -> Artifact:
        """The publication, if the gate said yes."""
        return steps.push_model(
            self.decide_blessing,
            self.log_to_mlflow,
            serving=self._serving,
            mlflow=self._mlflow,
            canary=self._canary,
        )

    @cached_property
    def made(self) -> dict[str, Artifact]:
        """Everything that was measured, by kind: all of it, or what a rejected day leaves behind."""
        made = {"production": self.resolve_production}
        try:
            made["examples"] = self.land_examples
            made["statistics"] = self.compute_statistics
            made["drift_report"] = self.measure_drift
            made["anomalies"] = self.validate_examples
            made["training_window"] = self.gather_window
            made["model"] = self.train_candidate
            made["evaluation"] = self.evaluate_candidate
        except DataRejected as rejected:
            log.error("the day was rejected: %s", rejected)
            if rejected.evidence:
                made |= {rejected.evidence["kind"]: rejected.evidence}
        return made

    @property
    def _kafka(self) -> KafkaConnection:
        return KafkaConnection.from_variable(KAFKA_VARIABLE)

    @property
    def _mlflow(self) -> MlflowConnection:
        return MlflowConnection.from_variable(MLFLOW_VARIABLE)

    @property
    def _canary(self) -> ServingConnection | None:
        has_server = "canary" in steps.load_pipeline(self.pipeline).serving.connections
        return ServingConnection.from_variable(CANARY_VARIABLE) if has_server else None

    @property
    def _serving(self) -> ServingConnection:
        return ServingConnection.from_variable(SERVING_VARIABLE)
