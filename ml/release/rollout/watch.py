"""One look at the canary: what users were answered, the judgement, and the evidence if it is final."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ml.artifact import Artifact
from ml.connections import PrometheusConnection
from ml.manifest import Identity
from ml.release.production import Records
from ml.release.rollout.judgement import Judgement, judge
from ml.release.rollout.observations import Observations, observe
from ml.release.rollout.tracks import canary_of
from ml.release.rollout.trial import Trial, find_own_trial
from ml.store import Draft


@dataclass(frozen=True)
class Look:
    """What one look came to.

    Attributes:
        trial: who was judged, and beside whom.
        judgement: the word on it.
        evidence: the rollout artifact; None while more is waited for.
    """

    trial: Trial
    judgement: Judgement
    evidence: Artifact | None


def watch_canary(version: int, records: Records, prometheus: PrometheusConnection, now: datetime) -> Look:
    """Judge the version on trial by all that was answered since its trial began, and write a decision down.

    While another's start is on its way, or was lost on it, nothing is known: its answers may be among them.

    Raises:
        Withheld: if it is not on trial any more.
        Misconfigured: if what answers is no Prometheus.
    """
    trial = find_own_trial(records, version)
    if other := _starting_beside(trial, records):
        problem = (
            f"the start of {other} is on its way or was lost on it, and users may get its answers by now: "
            f"clear its push_model, or withdraw {version}"
        )
        seen = Observations(trial.since, now, problem=problem)
    else:
        seen = observe(records.pipeline.serving.model, trial.since, now, prometheus)
    judgement = judge(seen, canary_of(records.pipeline).rollout)
    evidence = None if judgement.decision == "WAIT" else _write(trial, seen, judgement, records)
    return Look(trial, judgement, evidence)


def _starting_beside(trial: Trial, records: Records) -> int | None:
    """The version that the canary's label is about to move to, or has by now; None if it stays."""
    moving = records.ledger.of(canary_of(records.pipeline).label).on_the_way
    return moving["to"] if moving and moving["to"] != trial.version.number else None


def _write(trial: Trial, seen: Observations, judgement: Judgement, records: Records) -> Artifact:
    limits = canary_of(records.pipeline).rollout.model_dump(mode="json")
    times = {"since": seen.since.isoformat(), "until": seen.until.isoformat()}
    version = trial.version
    identity = Identity(
        "rollout",
        records.pipeline.name,
        version.window,
        {"model": version.model},
        {"version": version.number, "stable": trial.stable, "limits": limits, **times},
    )

    def write(draft: Draft) -> None:
        decided = {"decision": judgement.decision, "reasons": list(judgement.reasons)}
        compared = {"version": version.number, "stable": trial.stable}
        draft.write_json({**decided, **compared, "limits": limits, "observations": seen.as_json()})
        draft.facts["decision"] = judgement.decision

    return records.store.produce(identity, write)
