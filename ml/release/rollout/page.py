"""What a canary's promotion rests on, as a page for the person who has to approve it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ml.release.note import table
from ml.release.rollout.observations import Histogram
from ml.trials import TRACKS


def canary_page(evidence: Mapping[str, Any]) -> str:
    """Markdown: the decision, its reasons, and both tracks beside each other.

    Args:
        evidence: ``rollout.json``, as the look at the canary wrote it.
    """
    return "\n".join([*_decision(evidence), *_tracks(evidence)])


def _decision(evidence: Mapping[str, Any]) -> Iterator[str]:
    seen = evidence["observations"]
    yield f"## {evidence['decision']}: version {evidence['version']} beside {evidence['stable']}\n"
    yield from (f"- {reason}" for reason in evidence["reasons"])
    yield f"\nSeen from {seen['since']} to {seen['until']}.\n"


def _tracks(evidence: Mapping[str, Any]) -> Iterator[str]:
    versions = {"canary": evidence["version"], "stable": evidence["stable"]}
    head = ["track", "version", "good answers", "failed", "median", "p99", "median score"]
    rows = [[track, str(versions[track]), *_row(evidence["observations"][track])] for track in TRACKS]
    yield from table(head, rows)


def _row(answers: Mapping[str, Any]) -> list[str]:
    ok, failed = answers["ok"], answers["failed"]
    seconds, scores = (Histogram.of(answers[name]) for name in ("seconds", "scores"))
    share = f"{failed:,} ({failed / (ok + failed):.2%})" if ok + failed else "none"
    times = [_known(seconds.quantile(part) * 1000, ".1f", " ms") for part in (0.5, 0.99)]
    return [f"{ok:,}", share, *times, _known(scores.quantile(0.5), ".3f")]


def _known(value: float, spelling: str, unit: str = "") -> str:
    return "unknown" if math.isnan(value) else f"{value:{spelling}}{unit}"
