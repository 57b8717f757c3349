"""What a person is asked before a verdict counts, for verdicts that ``serving.approval`` names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml.artifact import Artifact
from ml.day import Day
from ml.errors import Withheld
from ml.identities import identify_pushed_model
from ml.store import Store

if TYPE_CHECKING:
    from ml.release.versions import Version

Question = dict[str, str]
# The decision about a night whose publication is done: running it again moves nothing, so nobody is asked.
PUSHED = "PUSHED"
# The answer where there is no task that asks: the pipeline names no verdict, or a person runs the command.
NOT_ASKED = {"needless": "nobody is asked"}


def said_of(approval: dict[str, str] | None) -> str:
    """The ledger's words for who has approved a move and when; empty if nobody had to be asked.

    Args:
        approval: who has approved it (``by``) and when (``at``), or why it is ``needless``; None if the task
            that asks handed nothing on.

    Raises:
        Withheld: if somebody had to be asked and no name is on record. A question that was passed over is
            no approval.
    """
    if approval and approval.get("by"):
        return f"approved by {approval['by']} at {approval['at']}"
    if approval and approval.get("needless"):
        return ""
    raise Withheld(
        "not published: nobody's approval is on record. Expected a name and a time from the task "
        "ask_for_approval; marked as success by hand, it hands on neither. Serving stays as it was: clear "
        "that task, and answer its question."
    )


def describe_night(blessing: Artifact, logged: dict[str, Any]) -> Question:
    """Say what the gate's verdict rests on, for whoever has to approve the publication.

    Args:
        blessing: the verdict.
        logged: the night's MLflow run.

    Returns:
        ``decision`` (the verdict, or PUSHED if the night is published already), ``subject`` and ``body``
        (Markdown) of the question, what follows ``otherwise``, without an approval, and ``futile``: why no
        approval could help, if what serves has seen newer data.
    """
    from ml.release.findings import Findings
    from ml.release.note import note_of

    day = Day.of_artifact(blessing)
    verdict = day.store.read_json(blessing)["verdict"]
    model = logged["night"]["artifacts"].get("model")
    findings = Findings.read(day.store, logged["night"]["artifacts"])
    note, served = note_of(day.pipeline, day.window, findings), _served(day)
    return {
        "decision": PUSHED if model and _is_pushed(day, blessing, model, served) else verdict,
        "subject": f"{day.name}, {verdict}: publish the candidate of {day.pipeline.name}?",
        "body": f"{note}\n\n[The night in MLflow]({logged['url']})",
        "otherwise": "serving stays as it was; clear this task to be asked again",
        "futile": _why_futile(day, served),
    }


def describe_canary(pipeline: str, judgement: dict[str, Any]) -> Question:
    """Say what a decision about the canary rests on, for whoever has to approve it.

    Args:
        pipeline: the pipeline's name.
        judgement: as `watch_canary` returned it.

    Returns:
        As `describe_night`, but never ``futile``.
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


def _is_pushed(day: Day, blessing: Artifact, model: Artifact, served: Version | None) -> bool:
    """Whether the push is done, or was lost when users had the model already."""
    done = day.store.find(identify_pushed_model(day, blessing, model)) is not None
    return done or (served is not None and served.model["digest"] == model["digest"])


def _why_futile(day: Day, served: Version | None) -> str:
    """Why the fence would refuse whatever a person says; empty if it might not."""
    from ml.release.fence import why_stale

    stale = why_stale(day.name, day.window.end, served)
    return f"{stale}. Nobody was asked." if stale else ""


def _served(day: Day) -> Version | None:
    """What users are answered by, as the ledger says."""
    from ml.release import Records

    records = Records(day.pipeline, day.store)
    number = records.ledger.last_served
    return None if number is None else records.versions.find(number)
