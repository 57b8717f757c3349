"""What happened when: the ledger's moves, and between them what Prometheus has seen of both tracks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from math import isnan
from textwrap import fill
from typing import Any

from tests.demo.prometheus import Prometheus
from tests.demo.report import WIDTH

STEP_SECONDS, QUIET_SECONDS = 10.0, 60.0
COLUMN = 14
TOLD = ("moved", "noted")
# Over half a minute each: deploy/prometheus/rules takes five, too long for a trial that is over in one.
REQUESTS_A_SECOND = "sum(rate(router_requests_total{model='clicks'%s}[30s]))"
ASKED = REQUESTS_A_SECOND % ""
ASKED_CANARY = REQUESTS_A_SECOND % ", track='canary'"
CANARY_FAILED = REQUESTS_A_SECOND % ", track='canary', outcome='failed'"
USERS_FAILED = "sum(rate(router_answers_total{model='clicks', outcome='failed'}[30s]))"
TOOK = "sum by (le) (rate(router_track_seconds_bucket{model='clicks', track='%s'}[30s]))"
P99 = f"histogram_quantile(0.99, {TOOK})"

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Measure:
    """A column of the time line.

    Attributes:
        name: its head.
        expression: in PromQL.
        form: how a value is written.
    """

    name: str
    expression: str
    form: str

    def write(self, value: float | None) -> str:
        """A value for people; nothing for none."""
        return "" if value is None or isnan(value) else self.form.format(value)


REQUESTS = Measure("requests/s", ASKED, "{:.0f}")
OF_CANARY = Measure("asked canary", f"({ASKED_CANARY} or vector(0)) / {ASKED}", "{:.1%}")
MEASURES = (
    REQUESTS,
    Measure("users' errors", f"({USERS_FAILED} or vector(0)) / {ASKED}", "{:.2%}"),
    Measure("canary's share", "sum(retraining_canary_share{pipeline='clicks'})", "{:.0%}"),
    OF_CANARY,
    Measure("canary failed", f"({CANARY_FAILED} or vector(0)) / ({ASKED_CANARY} > 0)", "{:.1%}"),
    Measure("p99 canary", P99 % "canary", "{:.3f} s"),
    Measure("p99 stable", P99 % "stable", "{:.3f} s"),
)


@dataclass(frozen=True)
class Moment:
    """One row.

    Attributes:
        at: seconds since the epoch.
        values: of the measures, in their order; empty for a move.
        move: in words; empty for measurements.
    """

    at: float
    values: tuple[str, ...] = ()
    move: str = ""


def tell(lines: Iterable[Line], prometheus: Prometheus, until: float) -> list[Moment]:
    """All moments, oldest first; a move comes before what is measured after it."""
    moves = [Moment(seconds_of(line), move=describe(line)) for line in lines if line["event"] in TOLD]
    if not moves:
        return []
    return sorted([*moves, *measured(prometheus, (moves[0].at, until))], key=lambda moment: moment.at)


def measured(prometheus: Prometheus, span: tuple[float, float]) -> list[Moment]:
    """What Prometheus knows of the time from ``span[0]`` to ``span[1]``, while users asked.

    Where nobody asked the canary, a row a minute is enough.
    """
    start = span[0] // QUIET_SECONDS * QUIET_SECONDS
    series = [prometheus.series(measure.expression, (start, span[1]), STEP_SECONDS) for measure in MEASURES]
    asked, of_canary = (series[MEASURES.index(measure)] for measure in (REQUESTS, OF_CANARY))
    return [
        Moment(
            at,
            tuple(measure.write(values.get(at)) for measure, values in zip(MEASURES, series, strict=True)),
        )
        for at in sorted(asked)
        if of_canary.get(at) or at % QUIET_SECONDS == 0
    ]


def describe(line: Line) -> str:
    """A line of the ledger in words; of the gate's reasons, which stand above, the first."""
    verdict = f", {line['verdict']}" if line["verdict"] else ""
    why = line["reason"].partition(";")[0] if line["action"] == "push" else line["reason"]
    return f"{line['action']} {line['to']} ({line['label']}{verdict}): {why}"


def print_timeline(moments: Iterable[Moment]) -> None:
    """Measurements in columns, and between them the moves, as the ledger words them."""
    print("\nWhat happened when, by Prometheus and (>) the ledger; UTC, measured over half a minute each:\n")
    print(f"{'time':8}", *(f"{measure.name:>{COLUMN}}" for measure in MEASURES), sep="  ")
    for moment in moments:
        at = f"{datetime.fromtimestamp(moment.at, timezone.utc):%H:%M:%S}"
        if moment.move:
            print(fill(f"> {moment.move}", WIDTH, initial_indent=f"{at}  ", subsequent_indent=" " * 12))
        else:
            print(at, *(f"{value:>{COLUMN}}" for value in moment.values), sep="  ")


def seconds_of(line: Line) -> float:
    """When a line was written, seconds since the epoch."""
    return datetime.fromisoformat(line["time"]).timestamp()
