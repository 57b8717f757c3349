"""Grafana's dashboard as one picture, where there is no Grafana: its panels, its queries, the same data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.demo.prometheus import DEPLOY, Prometheus, Series

DASHBOARD = DEPLOY / "grafana" / "dashboards" / "retraining.json"
VARIABLES = {"$__rate_interval": "30s", "$model": ".*", "$pipeline": ".*"}
# Grafana's grid is 24 columns wide.
COLUMNS, INCHES_A_COLUMN, INCHES_A_ROW, DPI = 24, 0.75, 0.45, 80
LEFT, RIGHT, BELOW, ABOVE = 1.2, 0.3, 0.7, 0.8  # of a panel, in cells of the grid
POINTS = 300
UNITS: Mapping[str | None, Callable[[float], str]] = {
    "percentunit": "{:.1%}".format,
    "s": "{:.3g} s".format,
    "none": "{:.0f}".format,
}
NOT_SHOWN = {"__name__", "instance", "job"}
SHOWN_LINES, SHOWN_TIMES = 8, 6
Span = tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """One panel with its data.

    Attributes:
        title: its head.
        unit: of its values, in Grafana's words.
        series: legend → data, of all its queries.
    """

    title: str
    unit: str | None
    series: list[tuple[str, Series]]

    def write(self, value: float) -> str:
        """A value with its unit."""
        return UNITS.get(self.unit, "{:.4g}".format)(value)


def draw_dashboard(prometheus: Prometheus, span: Span, picture: Path) -> None:
    """Draw every panel over the time from ``span[0]`` to ``span[1]``, seconds since the epoch, as PNG.

    Raises:
        httpx.HTTPStatusError: if a query is none.
        KeyError: if a panel is of a kind that cannot be drawn.
    """
    dashboard = json.loads(DASHBOARD.read_text())
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    figure = Figure((COLUMNS * INCHES_A_COLUMN, rows * INCHES_A_ROW))
    for told in dashboard["panels"]:
        axes = figure.add_axes(rectangle(told["gridPos"], rows))
        axes.set_title(told["title"], loc="left", fontsize=10)
        panel = read_panel(told, prometheus, span)
        (KINDS[told["type"]] if panel.series else say_nothing)(axes, panel)
    figure.savefig(picture, dpi=DPI)


def rectangle(place: Mapping[str, int], rows: int) -> tuple[float, float, float, float]:
    """Left, bottom, width and height in parts of the picture, with room for the title and what axes say."""
    left, bottom = place["x"] + LEFT, rows - place["y"] - place["h"] + BELOW
    width, height = place["w"] - LEFT - RIGHT, place["h"] - BELOW - ABOVE
    return left / COLUMNS, bottom / rows, width / COLUMNS, height / rows


def read_panel(told: Mapping[str, Any], prometheus: Prometheus, span: Span) -> Panel:
    """Ask what a panel asks. Where nothing has been counted, the panel has no series."""
    step = max((span[1] - span[0]) / POINTS, 1.0)
    found = [
        (legend(target["legendFormat"], series.labels), series)
        for target in told["targets"]
        for series in prometheus.all_series(fill_in(target["expr"]), span, step)
    ]
    return Panel(told["title"], told["fieldConfig"]["defaults"].get("unit"), found)


def fill_in(query: str) -> str:
    """A query with values for Grafana's variables: everything, and a short time for rates."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


def legend(template: str, labels: Mapping[str, str]) -> str:
    """Grafana's ``{{label}}`` filled in."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), template)


def say_nothing(axes: Axes, _: Panel) -> None:
    """What Grafana says of a panel whose queries are answered with nothing."""
    axes.axis("off")
    axes.text(0.5, 0.5, "No data", ha="center", va="center", color="grey")


def draw_lines(axes: Axes, panel: Panel) -> None:
    """A line a series."""
    for name, series in panel.series:
        axes.plot(moments(series), list(series.points.values()), label=name, linewidth=1)
    axes.yaxis.set_major_formatter(lambda value, _: panel.write(value))
    axes.set_ylim(bottom=0)
    if len(panel.series) <= SHOWN_LINES:
        axes.legend(fontsize=6, loc="center right")
    show_times(axes)


def draw_buckets(axes: Axes, panel: Panel) -> None:
    """A column a moment and a row a bucket; the cumulative counts of a histogram taken apart."""
    rising = sorted(panel.series, key=lambda one: float(one[1].labels["le"]))
    at_most = table_of([series for _, series in rising])
    counts = np.diff(np.nan_to_num(at_most), axis=0, prepend=0)
    axes.imshow(counts, aspect="auto", origin="lower", cmap="Blues", interpolation="nearest")
    axes.set_yticks(range(len(rising)), [name for name, _ in rising], fontsize=6)
    axes.set_xticks([])


def draw_history(axes: Axes, panel: Panel) -> None:
    """A row a series and a column a moment, from 0 to 1 and above."""
    values = table_of([series for _, series in panel.series])
    axes.imshow(values, aspect="auto", cmap="YlOrRd", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks(range(len(panel.series)), [name for name, _ in panel.series], fontsize=6)
    axes.set_xticks([])


def draw_states(axes: Axes, panel: Panel) -> None:
    """A row a series, with a bar and its value for as long as it stays; nothing for 0, which is none."""
    known = sorted({value for _, series in panel.series for value in series.points.values()})
    for row, (_, series) in enumerate(panel.series):
        times, values = moments(series), list(series.points.values())
        changes = [0, *(np.flatnonzero(np.diff(values)) + 1), len(values) - 1]
        for begin, end in (each for each in pairwise(changes) if values[each[0]]):
            color = f"C{known.index(values[begin])}"
            axes.barh(row, times[end] - times[begin], left=times[begin], color=color, alpha=0.5)
            axes.text(
                times[begin], row, f" {panel.write(values[begin])}", fontsize=7, va="center", clip_on=True
            )
    axes.set_yticks(range(len(panel.series)), [name for name, _ in panel.series], fontsize=7)
    show_times(axes)


def draw_number(axes: Axes, panel: Panel) -> None:
    """The last value of each series, large."""
    axes.axis("off")
    lines = [f"{name}: {panel.write(last(series))}" for name, series in panel.series]
    axes.text(0.5, 0.5, "\n".join(lines), ha="center", va="center", fontsize=12)


def draw_table(axes: Axes, panel: Panel) -> None:
    """A row a series, of its labels."""
    axes.axis("off")
    names = sorted({name for _, series in panel.series for name in series.labels} - NOT_SHOWN)
    rows = sorted([series.labels.get(name, "") for name in names] for _, series in panel.series)
    axes.table(rows, colLabels=names, loc="upper center", edges="horizontal")


def moments(series: Series) -> list[float]:
    """When its values were, in matplotlib's days."""
    times = [datetime.fromtimestamp(at, timezone.utc) for at in series.points]
    return [float(day) for day in mdates.date2num(times)]


def show_times(axes: Axes) -> None:
    """Write the time axis in UTC."""
    axes.locator_params(axis="x", nbins=SHOWN_TIMES)
    axes.xaxis.set_major_formatter(mdates.DateFormatter("%H:%M:%S", tz=timezone.utc))
    axes.tick_params(labelsize=7)


def table_of(series: list[Series]) -> np.ndarray[Any, Any]:
    """[series, moments] of all moments of any, NaN where a series has none."""
    times = sorted({at for one in series for at in one.points})
    return np.array([[one.points.get(at, np.nan) for at in times] for one in series])


def last(series: Series) -> float:
    """The newest value."""
    return series.points[max(series.points)]


KINDS: Mapping[str, Callable[[Axes, Panel], None]] = {
    "timeseries": draw_lines,
    "heatmap": draw_buckets,
    "state-timeline": draw_states,
    "stat": draw_number,
    "table": draw_table,
    "status-history": draw_history,
}
