"""Tracing a day through its night, in the order in which the steps would run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ml import landing, validation
from ml.backfill.archive import Archive
from ml.backfill.asked import Asked
from ml.backfill.chain import DATA, NEW, NOT_MADE, Chain, Link, follow
from ml.day import Day
from ml.errors import DataRejected, WindowExpired
from ml.identities import (
    identify_anomalies,
    identify_blessing,
    identify_drift_report,
    identify_evaluation,
    identify_examples,
    identify_model,
    identify_offsets,
    identify_production,
    identify_pushed_model,
    identify_statistics,
    identify_training_window,
)
from ml.training_window import WindowDay

EVIDENCE = ("production", "anomalies", "drift_report", "evaluation")


def trace_data(day: Day, archive: Archive, remains: landing.Remains | None, asked: Asked) -> Chain:
    """Trace a day from the topic to its anomalies.

    Args:
        day: which.
        archive: of its pipeline.
        remains: what the topic still holds of it; None if that is not known.
        asked: what the day would be run with.
    """
    chain = Chain(day, archive, asked.decide(day, remains))
    chain.look("offsets", (), lambda day: identify_offsets(day, chain.decision))
    examples = chain.look("examples", ("offsets",), identify_examples)
    if examples.outcome == NEW:
        _check_remains(chain, remains)
    if examples.artifact:
        _check(chain, "examples", lambda: landing.check_landed(day.pipeline, chain.known("examples")))
    chain.look("statistics", ("examples",), identify_statistics)
    anomalies = chain.look("anomalies", ("examples", "statistics"), identify_anomalies)
    if found := anomalies.artifact:
        _check(chain, "anomalies", lambda: validation.check_examples(chain.content("anomalies"), found))
    return chain


def trace_night(chain: Chain, earlier: Sequence[Chain], asked: Asked) -> None:
    """Trace the rest of a day's night.

    Args:
        chain: of the day, traced to its anomalies.
        earlier: the other days of its training window, oldest first, traced likewise.
        asked: what the day would be run with.
    """
    chain.look("production", (), lambda day: identify_production(day, asked.refresh_production))
    chain.look("drift_report", ("statistics", "production"), identify_drift_report)
    chain.links["training_window"] = _training_window(chain, earlier)
    chain.look("model", ("training_window",), identify_model)
    chain.look("evaluation", ("model", "production", "training_window"), identify_evaluation)
    chain.links["blessing"] = _blessing(chain)
    if (chain.content("blessing") or {"publish": False})["publish"]:
        chain.look("pushed_model", ("blessing", "model"), identify_pushed_model)


def _check_remains(chain: Chain, remains: landing.Remains | None) -> None:
    """The day would have to be landed: give it up if the topic is known not to hold it any more."""
    if remains is None or remains.is_whole or chain.decision.accept_gap:
        return
    lost = f", {remains.lost:.0%} of it lost" if remains.lost else ""
    removal = chain.removal()
    taken = f", and its examples were {removal}" if removal else ""
    why = f"in the topic the day is {remains.retention}{lost}{taken}"
    for kind in ("offsets", "examples"):
        if chain.links[kind].outcome == NEW:
            chain.links[kind] = Link(kind, NOT_MADE, why, rejected=WindowExpired.__name__)


def _check(chain: Chain, kind: str, check: Callable[[], None]) -> None:
    try:
        check()
    except DataRejected as rejected:
        chain.reject(kind, rejected)


def _training_window(chain: Chain, earlier: Sequence[Chain]) -> Link:
    own = [chain.links[kind] for kind in DATA]
    if known := follow("training_window", own):
        return known
    for other in earlier:
        if other.data_is_new:
            return Link("training_window", NEW, f"{other.day.name}, which it learns from, would be new")
    days = [_window_day(other) for other in [*earlier, chain]]
    return chain.find(identify_training_window(chain.day, days))


def _window_day(chain: Chain) -> WindowDay:
    left_out = chain.rejected or None
    examples, statistics, anomalies = (None if left_out else chain.links[kind].artifact for kind in DATA)
    return WindowDay(
        day=chain.day.name, examples=examples, statistics=statistics, anomalies=anomalies, left_out=left_out
    )


def _blessing(chain: Chain) -> Link:
    """The gate judges what there is: what would not be made is a finding, not an obstacle."""
    links = [chain.links[kind] for kind in EVIDENCE]
    unknown = [link for link in links if link.outcome == NEW]
    if unknown:
        return Link("blessing", NEW, f"{unknown[0].kind} would be new")
    return chain.find(identify_blessing(chain.day, {link.kind: link.artifact for link in links}))
