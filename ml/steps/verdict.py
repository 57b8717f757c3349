"""Steps around the gate: what is in production, the verdict, its record, the publication."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ml.artifact import Artifact
from ml.connections import MlflowConnection, ServingConnection
from ml.day import Day
from ml.errors import Misconfigured
from ml.identities import identify_blessing, identify_production, identify_pushed_model
from ml.steps.approval import NOT_ASKED, said_of
from ml.training_window import read_training_rows
from ml.what_if import current_what_if

if TYPE_CHECKING:
    from ml.release import Push
    from ml.store import Draft


def resolve_production(
    pipeline: str,
    start: str,
    end: str,
    refresh: str = "",
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
) -> Artifact:
    """Read once which version is really serving; the whole run is judged against it.

    A second reading for the same window returns the first, so that a rerun repeats the judgement that
    was made. ``refresh`` is a reason to read anew. A what-if is judged against what the normal night was.

    Raises:
        Unavailable: if the model server or the registry does not answer.
        Misconfigured: if the two disagree.
    """
    from ml import release

    day = Day.of(pipeline, start, end)
    return day.store.produce(
        identify_production(day, refresh),
        lambda draft: (
            release.read_production(day.pipeline, serving, day.store, draft)
            if day.variant
            else release.resolve_production(day.pipeline, serving, mlflow, day.store, draft)
        ),
    )


def decide_blessing(pipeline: str, start: str, end: str, evidence: dict[str, Artifact | None]) -> Artifact:
    """Judge what was measured. The gate is closed by default and says why in words.

    Args:
        pipeline: the pipeline's name.
        start: of the window.
        end: of the window, and so the candidate's watermark.
        evidence: ``production``, ``anomalies``, ``drift_report`` and ``evaluation``; None for what was
            not made, which is a finding too.
    """
    from ml import evaluation

    day = Day.of(pipeline, start, end)
    read: dict[str, Any] = {role: part and day.store.read_json(part) for role, part in evidence.items()}
    return day.store.produce(
        identify_blessing(day, evidence),
        lambda draft: evaluation.decide_blessing(
            day.pipeline, evaluation.Evidence(watermark=day.window.end, **read), draft
        ),
    )


def log_to_mlflow(
    pipeline: str,
    start: str,
    end: str,
    run: dict[str, str],
    artifacts: dict[str, Artifact | None],
    *,
    mlflow: MlflowConnection,
) -> dict[str, Any]:
    """Write the night into MLflow: one run, found again by its key, whatever the night came to.

    Args:
        pipeline: the pipeline's name.
        start: of the window.
        end: of the window.
        run: ``key`` names the run for ever, ``url`` is its page in Airflow or empty.
        artifacts: what the night has made, by kind; None for what it did not come to.
        mlflow: where to.

    Returns:
        ``run_id``, ``url`` and ``model_version`` in MLflow, a ``summary`` in one sentence, and the
        ``night`` as it was logged, so that the push can add to it.
    """
    from ml import release

    day = Day.of(pipeline, start, end)
    night = release.Night(window=day.window, artifacts=artifacts, what_if=current_what_if(), **run)
    logged = release.log_to_mlflow(day.pipeline, night, mlflow, day.store)
    return {
        "run_id": logged.run_id,
        "url": logged.url,
        "model_version": logged.model_version,
        "summary": _summary(day, artifacts.get("blessing")),
        "night": {"artifacts": artifacts, **run},
    }


def push_model(
    blessing: Artifact,
    logged: dict[str, Any],
    approval: dict[str, str] | None = NOT_ASKED,
    *,
    serving: ServingConnection,
    mlflow: MlflowConnection,
    canary: ServingConnection | None = None,
) -> Artifact:
    """Publish a blessed model: stage, load, ask the golden requests, then move the label and the alias.

    Where the pipeline has a canary, it is the canary's label that moves, and a share of the users tries it.

    Args:
        blessing: the verdict; what was judged, and against what, follows from its inputs.
        logged: the night's MLflow run, because only a logged model is published.
        approval: who has approved it (``by``) and when (``at``), for the ledger, or why that is ``needless``;
            None if the task that asks was passed over.
        serving: the model server.
        mlflow: where the registry is.
        canary: the canary's model server, if it has one of its own.

    Raises:
        Withheld: if the gate or the watermark fence says no, if an approval is missing, and in a what-if;
            serving stays as it was.
    """
    from ml import release

    day = Day.of_artifact(blessing)
    release.check_not_what_if(day.variant, day.store.manifest(blessing).identity.variant)
    release.check_blessing(day.store.read_json(blessing))
    approved = said_of(approval)
    run = logged["night"]
    who = run["key"] if run["url"] else ""
    push = replace(_push_of(day, blessing), who=who, approval=approved)
    pushed = day.store.produce(
        identify_pushed_model(day, blessing, push.model),
        lambda draft: _publish(day, push, (serving, canary), mlflow, draft),
    )
    artifacts = {**run["artifacts"], "pushed_model": pushed}
    night = release.Night(**{**run, "artifacts": artifacts, "window": day.window})
    release.log_to_mlflow(day.pipeline, night, mlflow, day.store)
    return pushed


def _publish(
    day: Day,
    push: Push,
    servers: tuple[ServingConnection, ServingConnection | None],
    mlflow: MlflowConnection,
    draft: Draft,
) -> None:
    from ml import release
    from ml.release.rollout.tracks import Tracks

    if day.pipeline.serving.canary is None:
        release.push_model(day.pipeline, push, servers[0], mlflow, day.store, draft)
    else:
        tracks = Tracks.of(day.pipeline, *servers)
        release.push_canary(day.pipeline, push, tracks, mlflow, day.store, draft)


def _push_of(day: Day, blessing: Artifact) -> Any:
    """What the gate has blessed, as the blessing's own lineage tells."""
    from ml import release

    evaluation = _input(day, blessing, "evaluation")
    rows = read_training_rows(day, _input(day, evaluation, "training_window"))
    return release.Push(
        model=_input(day, evaluation, "model"),
        blessing=blessing,
        production=_input(day, evaluation, "production"),
        examples=rows.days[-1],
        holdout=rows.holdout,
    )


def _input(day: Day, artifact: Artifact, role: str) -> Artifact:
    found = day.store.manifest(artifact).identity.inputs[role]
    if found is None:
        raise Misconfigured(
            f"{artifact['uri']} was made without {role}, and was blessed all the same; expected every "
            "blessing to rest on an evaluation. This is a fault of the gate: report it and publish nothing."
        )
    return found


def _summary(day: Day, blessing: Artifact | None) -> str:
    what_if = f"what-if {day.variant['name']}, nothing is published. " if day.variant else ""
    if blessing is None:
        return f"{what_if}no verdict: the gate was not reached"
    content = day.store.read_json(blessing)
    caveats = day.store.manifest(blessing).caveats
    accepted = f" (accepted by a person: {'; '.join(caveats)})" if caveats else ""
    return f"{what_if}{content['verdict']}: {'; '.join(content['reasons'])}{accepted}"
