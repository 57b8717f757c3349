"""What must stay whatever its age: all that is served, could be served at once, or is named by an alias."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from ml.housekeeping.holdings import Holding
from ml.release import Records

# A run names the version that it judges against once, and is over within a day.
RUN_AGE = timedelta(days=1)


def versions_in_use(holdings: Mapping[str, Holding], now: datetime) -> set[int]:
    """The versions that runs have named which may still be going on."""
    return {
        holding.version
        for holding in holdings.values()
        if holding.version is not None and holding.last_used + RUN_AGE > now
    }


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
