"""What must stay whatever its age: all that is served, could be served at once, or is named by an alias."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from ml.config import Pipeline
from ml.housekeeping.holdings import Holding
from ml.release import Records

# A run names the version that it judges against, or has pushed, once. Its work is over within a day.
WORK = timedelta(days=1)


def longest_run(pipeline: Pipeline) -> timedelta:
    """How long a run may go on: its work, the trial of its canary, and the wait for a person."""
    approval, canary = pipeline.serving.approval, pipeline.serving.canary
    waiting = timedelta(hours=approval.response_hours) if approval else timedelta()
    trial = timedelta(minutes=canary.rollout.max_minutes) if canary else timedelta()
    return WORK + trial + waiting


def versions_in_use(pipeline: Pipeline, holdings: Mapping[str, Holding], now: datetime) -> set[int]:
    """The versions that runs have named which may still be going on."""
    longest = longest_run(pipeline)
    return {
        holding.version
        for holding in holdings.values()
        if holding.version is not None and holding.last_used + longest > now
    }


def find_evidence(records: Records) -> dict[str, str]:
    """Address → why it stays, of all that a line of the ledger names: what a move rested on outlives it.

    What the evidence was made from is not kept for its sake: the numbers that decided stand in it.
    """
    named = (line["evidence"] for line in records.ledger.entries())
    return dict.fromkeys(filter(None, named), "named as evidence by the ledger")


def find_roots(
    records: Records,
    holdings: Mapping[str, Holding],
    kept_versions: Mapping[int, list[str]],
    aliases: Mapping[str, str],
) -> dict[str, str]:
    """Address → why it stays: models of kept versions, evidence of their moves, and what aliases name.

    Args:
        records: numbers and ledger.
        holdings: every artifact of the pipeline.
        kept_versions: version → reasons.
        aliases: alias of the registry → digest of its model.
    """
    roots: dict[str, str] = {}
    stays = {number: f"version {number} stays: {', '.join(why)}" for number, why in kept_versions.items()}
    for number, reason in stays.items():
        if version := records.versions.find(number):
            roots[version.model["uri"]] = reason
    for line in records.ledger.entries():
        if line["to"] in stays:
            roots.setdefault(line["evidence"], stays[line["to"]])
    named = {digest: f"named by the alias {alias}" for alias, digest in aliases.items()}
    for uri, holding in holdings.items():
        if holding.address.kind == "pushed_model" and holding.version in stays:
            roots[uri] = stays[holding.version]
        elif holding.digest in named:
            roots.setdefault(uri, named[holding.digest])
    return roots
