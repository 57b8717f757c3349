"""A canary judged once more when the clicks of its users have landed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ml.artifact import Artifact
from ml.config import Realised
from ml.connections import MlflowConnection, ServingConnection
from ml.day import Day
from ml.errors import Misconfigured, Withheld
from ml.identities import identify_predictions, identify_realised
from ml.steps.records import records_of
from ml.trials import TrialSpan


def find_trials(pipeline: str, start: str, end: str) -> list[TrialSpan]:
    """When of the day which canary answered beside which stable version, by the ledger.

    Raises:
        Withheld: if none did.
        Misconfigured: if the pipeline has no canary, or does not say how it is judged by realised labels.
    """
    from ml.release.rollout.past_trials import trials_within
    from ml.release.rollout.tracks import canary_of

    day, records = Day.of(pipeline, start, end), records_of(pipeline)
    _setting(day)
    labels = (day.pipeline.serving.label, canary_of(day.pipeline).label)
    trials = trials_within(records.ledger.entries(), labels, day.window)
    if not trials:
        raise Withheld(f"no canary of {pipeline} was tried on {day.name}: there is nothing to judge again")
    return trials


def land_predictions(
    pipeline: str, start: str, end: str, trials: list[TrialSpan], *, serving: ServingConnection
) -> Artifact:
    """Land what the router has recorded of both tracks' answers during the trials.

    Raises:
        Misconfigured: if the record is not where the connection says, or there is none of that time.
    """
    from ml.landing.predictions import AnswerLog, land_predictions

    day = Day.of(pipeline, start, end)
    setting = _setting(day)
    if serving.predictions_dir is None:
        raise Misconfigured(
            f"it is not known where the router records its answers, by which the canary of {pipeline} is "
            "judged again. Add predictions_dir to the serving connection: the directory predictions below "
            "the router's prefix, as the tasks see it."
        )
    answers = AnswerLog(serving.predictions_dir, day.pipeline.serving.model, setting)
    return day.store.produce(
        identify_predictions(day, setting, trials), lambda draft: land_predictions(answers, trials, draft)
    )


def judge_realised(predictions: Artifact, examples: Artifact) -> Artifact:
    """Join the day's events to the answers that they came of, and judge each canary by them.

    The same answers and events give the same judgement, whenever it is made.

    Raises:
        DataRejected: if a label is neither 0 nor 1.
        Misconfigured: if the examples lack what they are joined by.
    """
    from ml.evaluation import realised

    day = Day.of_artifact(examples)
    setting = _setting(day)
    return day.store.produce(
        identify_realised(day, setting, predictions, examples),
        lambda draft: realised.judge_realised(
            realised.Day(
                day.pipeline, setting, day.window, day.store.open(examples), day.store.open(predictions)
            ),
            day.store.read_json(predictions),
            draft,
        ),
    )


def record_realised(
    realised: Artifact,
    run: dict[str, str] | None = None,
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
    canary: ServingConnection | None = None,
) -> dict[str, Any]:
    """Put the later word on record in the ledger and in MLflow. Nothing that serves is touched.

    Args:
        realised: the judgement.
        run: who asks; by default the user of the operating system.
        serving: stable's model server.
        mlflow: where the registry is.
        canary: the canary's model server, if it has one of its own.

    Returns:
        ``decision`` (DOUBTED if any version is, INCONCLUSIVE if any verdict is that, else CONFIRMED),
        ``summary`` and ``url`` to tell people, and ``trials``: version, verdict, reasons and command of each.
    """
    from ml.release.ledger import current_user
    from ml.release.rollout.reassessment import record_realised
    from ml.release.rollout.tracks import Tracks

    day = Day.of_artifact(realised)
    records = records_of(day.pipeline.name)
    tracks = Tracks.of(records.pipeline, serving, canary)
    who = run["key"] if run else current_user()
    trials = [asdict(one) for one in record_realised(realised, records, tracks, mlflow, who)]
    verdicts = [trial["verdict"] for trial in trials]
    return {
        "decision": min(verdicts, key=["DOUBTED", "INCONCLUSIVE", "CONFIRMED"].index),
        "summary": "\n".join(_sentence(day, trial) for trial in trials),
        "url": run["url"] if run else "",
        "trials": trials,
    }


def _setting(day: Day) -> Realised:
    canary = day.pipeline.serving.canary
    if canary is None or canary.realised is None:
        raise Misconfigured(
            f"{day.pipeline.name} does not say how a canary is judged by realised labels. Add "
            "serving.canary.realised to its pipeline.yaml; see docs/tracks.md."
        )
    return canary.realised


def _sentence(day: Day, trial: dict[str, Any]) -> str:
    reasons = "; ".join(trial["reasons"])
    what = f"{day.name}, version {trial['version']} of {day.pipeline.name} is {trial['verdict']}: {reasons}"
    return f"{what}. To take it from its users: {trial['command']}" if trial["command"] else what
