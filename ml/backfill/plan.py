"""The plan of a backfill: what running some days again would do, found out without running anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, TypeVar

from ml import landing, release
from ml.artifact import Window
from ml.backfill.archive import Archive
from ml.backfill.asked import Asked
from ml.backfill.chain import Chain
from ml.backfill.day_plan import DayPlan, plan_day
from ml.backfill.findings import count_days, find_concerns, summarise
from ml.backfill.trace import trace_data, trace_night
from ml.connections import KafkaConnection, MlflowConnection, ServingConnection
from ml.day import Day
from ml.errors import Misconfigured, Unavailable
from ml.training_window import earlier_days

Answer = TypeVar("Answer")


class Plan(TypedDict):
    """What a backfill would do; JSON, and so at home in XCom.

    Keys:
        pipeline: its name.
        days: oldest first.
        served: ``version`` and ``watermark`` of what serves, ISO 8601; None if it could not be asked.
        findings: what a person should know before starting it, in sentences.
        totals: numbers of days, and the ``seconds`` of all.
        summary: the totals in one sentence.
    """

    pipeline: str
    days: list[DayPlan]
    served: dict[str, Any] | None
    findings: list[str]
    totals: dict[str, Any]
    summary: str


def plan_backfill(
    days: Sequence[Day],
    asked: Asked,
    kafka: KafkaConnection,
    serving: ServingConnection,
    mlflow: MlflowConnection,
) -> Plan:
    """Say what running these days again would do. Reads only: nothing is landed, made, locked or moved.

    Args:
        days: of one pipeline and store, at least one, oldest first.
        asked: what they would be run with.
        kafka: asked what the topic still holds.
        serving: asked what serves.
        mlflow: asked whether its alias agrees.

    Raises:
        StoreCorrupted: if a manifest cannot be read.
    """
    pipeline, store = days[0].pipeline, days[0].store
    silent: list[str] = []
    touched = touched_windows(days)
    remains = _ask(lambda: landing.survey_topic(pipeline, touched, kafka), silent) or []
    served = _ask(lambda: release.survey_production(pipeline, serving, mlflow, store), silent)
    plans = list(Tracing(days, dict(zip(touched, remains, strict=False)), asked).plan(served))
    totals = count_days(plans)
    return Plan(
        pipeline=pipeline.name,
        days=plans,
        served={"version": served.version, "watermark": _moment(served)} if served else None,
        findings=[*silent, *find_concerns(plans, served)],
        totals=totals,
        summary=summarise(totals, served),
    )


def touched_windows(days: Sequence[Day]) -> list[Window]:
    """The windows of the days and of all days that they learn from, oldest first."""
    windows = {day.window for day in days} | {window for day in days for window in earlier_days(day)}
    return sorted(windows, key=lambda window: window.start)


class Tracing:
    """The chains of all days that a backfill touches: its own, and those that they learn from.

    Args:
        days: of one pipeline and store, at least one, oldest first.
        remains: what the topic still holds of each window; empty if it did not say.
        asked: what the backfill's own days would be run with.
    """

    def __init__(self, days: Sequence[Day], remains: Mapping[Window, landing.Remains], asked: Asked) -> None:
        self._days, self._remains = days, remains
        self._asked = dict.fromkeys((day.window for day in days), asked)
        self._archive = Archive(days[0].pipeline, days[0].store)
        self._chains: dict[Window, Chain] = {}

    def plan(self, served: release.Served | None) -> Iterator[DayPlan]:
        """Plan each day; an earlier day that would be landed besides is named by the first that needs it."""
        named = {day.window for day in self._days}
        for day in self._days:
            chain, earlier = self._data(day.window), [self._data(window) for window in earlier_days(day)]
            trace_night(chain, earlier, self._asked[day.window])
            also = [one for one in earlier if one.data_is_new and one.day.window not in named]
            also = [] if chain.rejected else also
            named.update(one.day.window for one in also)
            yield plan_day(chain, also, self._archive, self._remains.get(day.window), served)

    def _data(self, window: Window) -> Chain:
        if window not in self._chains:
            day = replace(self._days[0], window=window)
            asked, remains = self._asked.get(window, Asked()), self._remains.get(window)
            self._chains[window] = trace_data(day, self._archive, remains, asked)
        return self._chains[window]


def _ask(question: Callable[[], Answer], silent: list[str]) -> Answer | None:
    """The answer; None, and a finding, if there is none."""
    try:
        return question()
    except (Unavailable, Misconfigured) as error:
        silent.append(str(error))
        return None


def _moment(served: release.Served) -> str | None:
    return served.watermark.isoformat() if served.watermark else None
