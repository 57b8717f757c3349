"""A night's tries: what it came to each time that it was run, oldest first.

A night that is cleared or backfilled stays one MLflow run. If it comes to the same artifacts again, nothing
has happened. If it comes to others, this is another try of it: the run shows the newest, and ``tries.json``
beside it, the points of its metrics and its note show the ones before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ml.release.findings import Findings
from ml.release.run_labels import code_of

TRIES = "retraining.tries"
FILE = "tries.json"
MAIN_METRICS = ("candidate.", "production.", "gain.")
PUSHED = "pushed_model"
SERVED_AS = "serving.version"
DIGEST = "digest."
CONTINUED_AT, CONTINUED_FROM = "continued_at", "continued_from"
OF_ONE_TRY = ("verdict", "reasons", "drifted", "production.version", "weights.digest", SERVED_AS)

Try = dict[str, Any]


def add_try(
    tries: Sequence[Try], findings: Findings, metrics: Mapping[str, float], logged_at: str
) -> list[Try]:
    """The tries with what the night has come to now: the last one continued, or another one after it.

    A try is continued while nothing that it had come to is missing or has another digest. So a night that
    goes on after an error, or is published after it was logged, is the same try. If verdict or metrics are
    others then, the try says since when, and holds what it was before: a report asks what a night had come
    to at some moment.

    Args:
        tries: as they were logged; see `_describe` for what each holds.
        findings: what the night has made.
        metrics: all that was measured, by name.
        logged_at: now, ISO 8601.
    """
    last = tries[-1] if tries else None
    if last and _continues(last, findings):
        now = _describe(last["try"], tries[:-1], findings, metrics)
        return [*tries[:-1], _continued(last, now, logged_at)]
    new = _describe(len(tries) + 1, tries, findings, metrics)
    return [*tries, {**new, "logged_at": logged_at}]


def state_before(each: Try, moment: datetime) -> Try | None:
    """What a try had come to before a moment; None if it had not been logged by then."""
    state: Try | None = each
    while state and datetime.fromisoformat(_since(state)) >= moment:
        state = state.get(CONTINUED_FROM)
    return state


def _since(state: Try) -> str:
    return str(state.get(CONTINUED_AT, state["logged_at"]))


def stale_tags(logged: Iterable[str], tags: Mapping[str, str], tries: Sequence[Try]) -> list[str]:
    """The tags of the try before that do not hold for the last one.

    Args:
        logged: names of the tags that the run has.
        tags: those that are logged now.
        tries: all tries. What a model is served as stays true as long as the model is the same.
    """
    true = {*tags, *(f"{DIGEST}{kind}" for kind in tries[-1]["artifacts"])}
    if len({_digest(each, "model") for each in tries[-2:]}) == 1:
        true.add(SERVED_AS)
    return [name for name in logged if name not in true and (name in OF_ONE_TRY or name.startswith(DIGEST))]


def _continues(last: Try, findings: Findings) -> bool:
    digests = {kind: artifact["digest"] for kind, artifact in findings.artifacts.items()}
    known = {kind: each["digest"] for kind, each in last["artifacts"].items() if kind != PUSHED}
    return known.items() <= digests.items()


def _continued(last: Try, now: Try, logged_at: str) -> Try:
    """What is logged again may lack a publication that came after it was logged first."""
    artifacts = {**last["artifacts"], **now["artifacts"]}
    served_as = now["served_as"] or last["served_as"]
    continued = {**now, "artifacts": artifacts, "served_as": served_as, "logged_at": last["logged_at"]}
    if all(now[name] == last[name] for name in ("verdict", "metrics")):
        return {**continued, **{name: last[name] for name in (CONTINUED_AT, CONTINUED_FROM) if name in last}}
    return {**continued, CONTINUED_AT: logged_at, CONTINUED_FROM: last}


def _describe(
    number: int, earlier: Sequence[Try], findings: Findings, metrics: Mapping[str, float]
) -> dict[str, Any]:
    """Number, code, verdict, main metrics, and each artifact with the place of its files in the run."""
    blessing = findings.contents.get("blessing", {})
    code = code_of(findings)
    return {
        "try": number,
        "commit": code["commit"],
        "dirty": code["dirty"],
        "verdict": blessing.get("verdict"),
        "reasons": blessing.get("reasons", []),
        "served_as": findings.contents.get(PUSHED, {}).get("version"),
        "metrics": {name: value for name, value in metrics.items() if name.startswith(MAIN_METRICS)},
        "artifacts": {
            kind: {**artifact, "files": _place(number, earlier, kind, artifact["digest"])}
            for kind, artifact in findings.artifacts.items()
        },
    }


def _place(number: int, earlier: Sequence[Try], kind: str, digest: str) -> str:
    """Where a kind's files lie: where an earlier try has put the same, or in a place of the try's own.

    Nothing that an earlier try has uploaded is replaced: registered versions point at it.
    """
    for each in earlier:
        if _digest(each, kind) == digest:
            return str(each["artifacts"][kind]["files"])
    return own_place(number, kind)


def own_place(number: int, name: str) -> str:
    """The directory in the run of what a try has made: the first try's is at the top."""
    return name if number == 1 else f"tries/{number}/{name}"


def _digest(each: Try, kind: str) -> str | None:
    artifact = each["artifacts"].get(kind)
    return str(artifact["digest"]) if artifact else None
