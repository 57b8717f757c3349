"""What a person is asked before a verdict counts, for verdicts that ``serving.approval`` names."""

from __future__ import annotations

from typing import Any

from ml.artifact import Artifact
from ml.day import Day
from ml.store import Store

Question = dict[str, str]


def said_of(approval: dict[str, str] | None) -> str:
    """The ledger's words for who has approved a move and when; empty if nobody was asked."""
    return f"approved by {approval['by']} at {approval['at']}" if approval else ""


def describe_night(blessing: Artifact, logged: dict[str, Any]) -> Question:
    """Say what the gate's verdict rests on, for whoever has to approve the publication.

    Args:
        blessing: the verdict.
        logged: the night's MLflow run.

    Returns:
        ``decision`` (the verdict), ``subject`` and ``body`` (Markdown) of the question, and what follows
        ``otherwise``, without an approval.
    """
    from ml.release.findings import Findings
    from ml.release.note import note_of

    day = Day.of_artifact(blessing)
    verdict = day.store.read_json(blessing)["verdict"]
    findings = Findings.read(day.store, logged["night"]["artifacts"])
    note = note_of(day.pipeline, day.window, findings)
    return {
        "decision": verdict,
        "subject": f"{day.name}, {verdict}: publish the candidate of {day.pipeline.name}?",
        "body": f"{note}\n\n[The night in MLflow]({logged['url']})",
        "otherwise": "serving stays as it was; clear this task to be asked again",
    }


def describe_canary(pipeline: str, judgement: dict[str, Any]) -> Question:
    """Say what a decision about the canary rests on, for whoever has to approve it.

    Args:
        pipeline: the pipeline's name.
        judgement: as `watch_canary` returned it.

    Returns:
        As `describe_night`.
    """
    from ml.release.rollout.page import canary_page

    version, evidence = judgement["version"], Store.from_environment().read_json(judgement["evidence"])
    withdraw = f'python -m ml rollout withdraw --pipeline {pipeline} --reason "…"'
    return {
        "decision": judgement["decision"],
        "subject": f"Let version {version} of {pipeline} answer all users?",
        "body": canary_page(evidence),
        "otherwise": f"it stays on trial with its share of the users; to take it back: {withdraw}",
    }
