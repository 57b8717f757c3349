"""What each artifact of a night is made of, one function a kind.

The steps make artifacts by these identities, and the plan of a backfill looks them up by the same, without
running anything. So a plan cannot promise what a step would not do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ml.artifact import Artifact
from ml.config import Realised
from ml.day import Day
from ml.decisions import Decision, Decisions
from ml.manifest import Identity
from ml.training_window import WindowDay, holdout_of
from ml.trials import TrialSpan


def identify_production(day: Day, refresh: str = "") -> Identity:
    """The version that is judged against: what served when the day was first run, or at a refresh."""
    serving = day.pipeline.serving
    return day.identify_shared(
        "production", {}, {"model": serving.model, "label": serving.label, "refresh": refresh}
    )


def identify_offsets(day: Day, decision: Decision | None = None) -> Identity:
    """Where the day lies in the topic, and what a person decided about it: by default what stands now."""
    reasons = (Decisions.of(day).standing if decision is None else decision).as_json()
    config = day.landing_settings()
    return day.identify_shared("offsets", {}, {**config, "decision": reasons} if reasons else config)


def identify_examples(day: Day, offsets: Artifact) -> Identity:
    """The landed day."""
    return day.identify_shared("examples", {"offsets": offsets}, day.landing_settings())


def find_examples(day: Day, decision: Decision | None = None) -> Artifact | None:
    """The landed day as a step would use it, by default by what stands now; None if it has to be landed."""
    offsets = day.store.find(identify_offsets(day, decision))
    return day.store.find(identify_examples(day, offsets)) if offsets else None


def identify_statistics(day: Day, examples: Artifact) -> Identity:
    """The day described."""
    return day.identify("statistics", {"examples": examples}, day.settings("features"))


def identify_anomalies(day: Day, examples: Artifact, statistics: Artifact) -> Identity:
    """Where the day breaks the schema."""
    config = {**day.settings("validation"), "label": day.pipeline.label}
    return day.identify("anomalies", {"examples": examples, "statistics": statistics}, config)


def identify_drift_report(day: Day, statistics: Artifact, production: Artifact) -> Identity:
    """The day's distance from production's baseline."""
    inputs = {"statistics": statistics, "production": production}
    return day.identify("drift_report", inputs, day.settings("drift", "features"))


def identify_training_window(day: Day, days: Sequence[WindowDay]) -> Identity:
    """The days that are learned from, and those that are left out and why."""
    inputs: dict[str, Artifact | None] = {}
    for part in days:
        inputs[f"examples-{part['day']}"] = part["examples"]
        inputs[f"statistics-{part['day']}"] = part["statistics"]
        inputs[f"anomalies-{part['day']}"] = part["anomalies"]
    left_out = {part["day"]: part["left_out"] for part in days if part["left_out"]}
    return day.identify(
        "training_window", inputs, {"left_out": left_out, "holdout": holdout_of(day).as_json()}
    )


def identify_model(day: Day, training_window: Artifact) -> Identity:
    """The candidate."""
    config = {**day.settings("training", "features"), "label": day.pipeline.label}
    return day.identify("model", {"training_window": training_window}, config)


def identify_evaluation(
    day: Day, model: Artifact, production: Artifact, training_window: Artifact
) -> Identity:
    """Candidate beside production."""
    inputs = {"model": model, "production": production, "training_window": training_window}
    return day.identify("evaluation", inputs, day.settings("gate", "slices", "features"))


def identify_blessing(day: Day, evidence: Mapping[str, Artifact | None]) -> Identity:
    """The verdict on what was measured."""
    return day.identify("blessing", evidence, day.settings("gate", "drift"))


def identify_pushed_model(day: Day, blessing: Artifact, model: Artifact) -> Identity:
    """The publication."""
    return day.identify("pushed_model", {"blessing": blessing, "model": model}, day.settings("serving"))


def identify_predictions(day: Day, setting: Realised, trials: Sequence[TrialSpan]) -> Identity:
    """What both tracks answered while they were tried side by side."""
    config = {"model": day.pipeline.serving.model, "key": setting.key, "inputs": setting.inputs}
    return day.identify("predictions", {}, {**config, "trials": trials})


def identify_realised(day: Day, setting: Realised, predictions: Artifact, examples: Artifact) -> Identity:
    """The canaries of the day, judged by what their users did."""
    inputs = {"predictions": predictions, "examples": examples}
    floors = day.pipeline.gate.floors.model_dump(mode="json")
    return day.identify("realised", inputs, {"realised": setting.model_dump(mode="json"), "floors": floors})
