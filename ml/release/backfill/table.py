"""Original and replay day by day: as rows, as a note, and as one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean
from typing import Any

from ml.release.backfill.nights import Backfill, ReplayedNight
from ml.release.note import METRICS, NOTHING, table
from ml.release.run_labels import MAX_TAG, shorten
from ml.release.tries import Try

LOWER_IS_BETTER = {"log_loss"}
Value = float | None


def value_of(each: Try | None, name: str) -> Value:
    """A metric of a try; None if it was not measured."""
    return None if each is None else each["metrics"].get(name)


def difference_of(night: ReplayedNight, name: str) -> Value:
    """Replay less original, in the metric's own unit; None if one of them was not measured."""
    before, after = value_of(night.original, name), value_of(night.replay, name)
    return None if before is None or after is None else after - before


def columns_of(nights: Sequence[ReplayedNight]) -> dict[str, list[Any]]:
    """The day-by-metric table, by column: None where nothing was measured, a row for a missing night too."""
    rows = [_row(night) for night in nights]
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def metrics_of(nights: Sequence[ReplayedNight]) -> dict[str, float]:
    """How many nights came to what, and the mean differences over the nights that have both."""
    outcomes = [night.outcome for night in nights]
    counts = {f"nights.{name}": outcomes.count(name) for name in ("same", "changed", "new", "missing")}
    means = {f"difference.{metric}": _mean_difference(nights, metric) for metric in METRICS}
    known = {name: value for name, value in means.items() if value is not None}
    return {"nights": len(nights), **counts, **known}


def summary_of(nights: Sequence[ReplayedNight], metric: str) -> str:
    """The backfill in one sentence; ``metric`` is the one that the gate looks at."""
    outcomes = [night.outcome for night in nights]
    counts = [f"{outcomes.count(name)} {name}" for name in ("changed", "same", "new", "missing")]
    shown = [part for part in counts if not part.startswith("0 ")]
    number = "1 night" if len(nights) == 1 else f"{len(nights)} nights"
    return f"{number}: {', '.join(shown) or 'none'}; {_compared(nights, metric)}"


def note_of(backfill: Backfill, nights: Sequence[ReplayedNight], metric: str) -> str:
    """The Markdown note at the top of the parent run."""
    what_if = f" (what-if {backfill.what_if}, nothing was published)" if backfill.what_if else ""
    lines = [
        f"## Backfill {backfill.key}{what_if}\n",
        f"{summary_of(nights, metric)}.\n",
        *_lines(nights, metric),
    ]
    return shorten("\n".join(lines), MAX_TAG)


def _row(night: ReplayedNight) -> dict[str, Any]:
    return {
        "day": night.day,
        "outcome": night.outcome,
        "original verdict": night.original and night.original["verdict"],
        "replay verdict": night.replay and night.replay["verdict"],
        **{name: value for metric in METRICS for name, value in _cells(night, metric)},
        "same examples": night.same_examples,
        "missing": night.missing,
        "replay served as": night.replay and night.replay["served_as"],
        "night": night.key,
        "run": night.run_id,
    }


def _cells(night: ReplayedNight, metric: str) -> Iterator[tuple[str, Value]]:
    yield f"original {metric}", value_of(night.original, f"candidate.{metric}")
    yield f"replay {metric}", value_of(night.replay, f"candidate.{metric}")
    yield f"difference {metric}", difference_of(night, f"candidate.{metric}")
    if metric != "calibration":
        yield f"original gain {metric}", value_of(night.original, f"gain.{metric}")
        yield f"replay gain {metric}", value_of(night.replay, f"gain.{metric}")


def _mean_difference(nights: Sequence[ReplayedNight], metric: str) -> Value:
    differences = _differences(nights, metric)
    return mean(differences) if differences else None


def _differences(nights: Sequence[ReplayedNight], metric: str) -> list[float]:
    found = [difference_of(night, f"candidate.{metric}") for night in nights]
    return [difference for difference in found if difference is not None]


def _compared(nights: Sequence[ReplayedNight], metric: str) -> str:
    differences = _differences(nights, metric)
    if not differences:
        return f"nothing to compare: no night has {metric} from before and from now"
    sign = -1 if metric in LOWER_IS_BETTER else 1
    better, worse = (sum(way * sign * each > 0 for each in differences) for way in (1, -1))
    return (
        f"{metric} of the candidates {mean(differences):+.4f} on average over {len(differences)} nights, "
        f"better on {better}, worse on {worse}"
    )


def _lines(nights: Sequence[ReplayedNight], metric: str) -> Iterator[str]:
    head = [
        "day",
        "outcome",
        "verdict",
        f"original {metric}",
        f"replay {metric}",
        "difference",
        "same examples",
    ]
    yield from table(head, [_words(night, metric) for night in nights])


def _words(night: ReplayedNight, metric: str) -> list[str]:
    name = f"candidate.{metric}"
    verdicts = [
        each["verdict"] if each and each["verdict"] else NOTHING for each in (night.original, night.replay)
    ]
    return [
        night.day,
        f"{night.outcome}: {night.missing}" if night.missing else night.outcome,
        " → ".join(dict.fromkeys(verdicts)),
        _number(value_of(night.original, name), ".4f"),
        _number(value_of(night.replay, name), ".4f"),
        _number(difference_of(night, name), "+.4f"),
        {True: "yes", False: "no", None: "unknown"}[night.same_examples],
    ]


def _number(value: Value, form: str) -> str:
    return NOTHING if value is None else format(value, form)
