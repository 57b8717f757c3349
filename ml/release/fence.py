"""The watermark fence: no run, in whatever order, puts older data in front of users.

Pure. Publishing is a compare-and-set: a candidate was judged against one production version, and replaces
that one or none. The model server's label is read again under the lock, and the answer comes here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ml.config import Pipeline
from ml.errors import Withheld
from ml.release.versions import Version

JUDGE_TRIAL_AGAIN = "Judge it again: clear the run from watch_canary on."


def check_not_what_if(*variants: Mapping[str, str]) -> None:
    """Let through only what normal nights have made.

    Args:
        variants: of the process and of all that would be published; see `ml.manifest.Identity.variant`.

    Raises:
        Withheld: if one of them is a what-if's.
    """
    for variant in variants:
        if variant:
            raise Withheld(f"what-if {variant['name']}: nothing is published. Serving stays as it was.")


def check_blessing(blessing: Mapping[str, Any]) -> None:
    """Let through only what the gate has blessed.

    Raises:
        Withheld: with the verdict and its reasons.
    """
    if blessing["publish"] is not True:
        reasons = "; ".join(blessing["reasons"])
        raise Withheld(f"not published, {blessing['verdict']}: {reasons}. Serving stays as it was.")


def check_fence(
    candidate: Version, judged_against: int | None, served: Version | None, judge_again: str
) -> None:
    """Let through only a candidate that was judged against what is served, and has seen newer data.

    Args:
        candidate: what would be served.
        judged_against: the version that the evaluation compared it with; None if there was none.
        served: what the model server really serves now.
        judge_again: what to do to have it judged against what is served now, in words.

    Raises:
        Withheld: naming what was expected and what was found.
    """
    number = served.number if served else None
    if number != judged_against:
        raise Withheld(
            f"not published: {candidate.number} was judged against {_named(judged_against)}, but now "
            f"{_named(number)} is served. {judge_again}"
        )
    if stale := why_stale(str(candidate.number), candidate.watermark, served):
        raise Withheld(f"{stale}. Only a newer watermark replaces it.")


def judge_night_again(pipeline: Pipeline, candidate: Version) -> str:
    """How to have a night judged against what is served now. Cleared, it repeats the judgement that it made.

    The day is named by the moment that it begins at: Airflow would read a bare date in its own time zone.
    """
    day, start = pipeline.name_of(candidate.window), candidate.window.start.isoformat()
    return (
        "A rerun repeats that judgement. To judge it again, give a reason that it has not had: airflow "
        f"backfill create --dag-id retrain_{pipeline.name} --from-date {start} --to-date {start} "
        """--reprocess-behavior completed --dag-run-conf '{"refresh_production": "…"}' """
        f'or python -m ml run --pipeline {pipeline.name} --day {day} --refresh-production "…"'
    )


def why_stale(name: str, watermark: datetime, served: Version | None) -> str:
    """Why something does not replace what is served; empty if it has seen newer data.

    Args:
        name: what it is called.
        watermark: the end of the data that it has seen.
        served: what users are answered by; None for nothing.
    """
    if served is None or watermark > served.watermark:
        return ""
    return (
        f"not published, STALE: {name} has seen data up to {_minute(watermark)}, and {served.number}, which "
        f"is served, up to {_minute(served.watermark)}"
    )


def check_not_rolled_back(
    candidate: Version, rolled_back: Mapping[int, Mapping[str, Any]], pipeline: str
) -> None:
    """Let through only what nobody has rolled back. The same content has the same number whenever it comes.

    Args:
        candidate: what would be served.
        rolled_back: version → the ledger's line of its roll-back.
        pipeline: whose versions they are.

    Raises:
        Withheld: with who rolled it back, when and why.
    """
    if line := rolled_back.get(candidate.number):
        raise Withheld(
            f"not published: the content of {candidate.number} was {_how(line)} on {line['time'][:16]} UTC "
            f"by {line['who']} ({line['reason']}). Another model is free to come. To let this one through "
            f'again: python -m ml readmit --pipeline {pipeline} --version {candidate.number} --reason "…"'
        )


def _how(line: Mapping[str, Any]) -> str:
    return "withdrawn as a canary" if line["action"] == "withdraw" else "rolled back"


def _named(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
