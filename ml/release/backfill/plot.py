"""Original against replay by day, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ml.config import Gate
from ml.release.backfill.nights import ReplayedNight
from ml.release.backfill.table import difference_of, value_of
from ml.release.plots import BLUE, GREY, ORANGE, RED

REVISION = 2
SERIES = (("original", ORANGE, "s--"), ("replay", BLUE, "o-"))
MOST_TICKS = 31


def draw_backfill(nights: Sequence[ReplayedNight], gate: Gate, title: str, path: Path) -> Path:
    """Draw the candidates' metric, its difference and the gain over production by day, as a PNG file.

    A night without a replay that was evaluated is a grey stripe: a gap in a line alone is easily overlooked.
    Wider than high, so that MLflow's page shows the days below it.
    """
    figure = Figure(figsize=(max(11.0, 0.35 * len(nights)), 8), layout="constrained")
    upper, middle, lower = figure.subplots(3, 1, sharex=True)
    _values(upper, nights, f"candidate.{gate.metric}", 1)
    upper.set(ylabel=f"{gate.metric} of the candidate", title=title)
    _differences(middle, nights, gate.metric)
    _values(lower, nights, f"gain.{gate.metric}", 100)
    lower.axhline(100 * gate.min_gain, color=RED, linestyle=":", label="gain to be reached")
    lower.set(ylabel="relative gain over production, %")
    for axes in (upper, middle, lower):
        _finish(axes, nights, f"candidate.{gate.metric}")
    figure.savefig(path, dpi=120)
    return path


def _values(axes: Axes, nights: Sequence[ReplayedNight], name: str, scale: float) -> None:
    for side, colour, style in SERIES:
        tries = [night.original if side == "original" else night.replay for night in nights]
        value, low, high = (
            scale * np.array([value_of(each, f"{name}{end}") for each in tries], np.float64)
            for end in ("", ".low", ".high")
        )
        places = np.arange(len(nights)) + (0.08 if side == "replay" else -0.08)
        axes.errorbar(
            places, value, (value - low, high - value), fmt=style, color=colour, capsize=2, label=side
        )


def _differences(axes: Axes, nights: Sequence[ReplayedNight], metric: str) -> None:
    found = [difference_of(night, f"candidate.{metric}") for night in nights]
    axes.bar(range(len(nights)), np.array(found, np.float64), color=BLUE, label="replay less original")
    if not any(difference is not None for difference in found):
        axes.text(0.5, 0.6, "no night has both", transform=axes.transAxes, ha="center", color=GREY)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set(ylabel=f"difference in {metric}")


def _finish(axes: Axes, nights: Sequence[ReplayedNight], name: str) -> None:
    missing = [place for place, night in enumerate(nights) if value_of(night.replay, name) is None]
    for number, place in enumerate(missing):
        label = None if number else "no replay, or none that was evaluated"
        axes.axvspan(place - 0.5, place + 0.5, color=GREY, alpha=0.25, linewidth=0, label=label)
    step = -(-len(nights) // MOST_TICKS)
    places = range(0, len(nights), step)
    axes.set_xticks(places, [nights[place].day for place in places], rotation=90)
    axes.set_xlim(-0.7, len(nights) - 0.3)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize="small")
