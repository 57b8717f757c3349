"""The plan of a backfill: what running some days again would do, found out without running anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypedDict, TypeVar

from ml import landing, release
from ml.artifact import Window
from ml.backfill.archive import Archive
from ml.backfill.chain import Chain
from ml.backfill.day_plan import DayPlan, plan_day
from ml.backfill.findings import count_days, find_concerns, summarise
from ml.backfill.trace import trace_data, trace_night
from ml.config import Pipeline
from ml.connections import KafkaConnection, MlflowConnection, ServingConnection
from ml.day import Day
from ml.errors import Misconfigured, Unavailable
from ml.store import Store
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
    pipeline: Pipeline,
    store: Store,
    windows: Sequence[Window],
    kafka: KafkaConnection,
    serving: ServingConnection,
    mlflow: MlflowConnection,
) -> Plan:
    """Say what running these days again would do. Reads only: nothing is landed, made, locked or moved.

    Args:
        pipeline: the settings of today.
        store: what is there.
        windows: the days, oldest first.
        kafka: asked what the topic still holds.
        serving: asked what serves.
        mlflow: asked whether its alias agrees.

    Raises:
        StoreCorrupted: if a manifest cannot be read.
    """
    silent: list[str] = []
    days = {window: Day(pipeline, window, store) for window in windows}
    earlier = {window: earlier_days(day) for window, day in days.items()}
    needed = sorted({*windows, *(one for some in earlier.values() for one in some)}, key=_start)
    remains = _ask(lambda: landing.survey_topic(pipeline, needed, kafka), silent) or []
    served = _ask(lambda: release.survey_production(pipeline, serving, mlflow, store), silent)
    tracing = Tracing(pipeline, store, dict(zip(needed, remains, strict=False)))
    plans = list(tracing.plan(earlier, served))
    totals = count_days(plans)
    return Plan(
        pipeline=pipeline.name,
        days=plans,
        served={"version": served.version, "watermark": _moment(served)} if served else None,
        findings=[*silent, *find_concerns(plans, served)],
        totals=totals,
        summary=summarise(totals, served),
    )


class Tracing:
    """The chains of all days that a backfill touches; a day's own and those of its training window.

    Args:
        pipeline: the settings of today.
        store: what is there.
        remains: what the topic still holds of each day; empty if it did not say.
    """

    def __init__(self, pipeline: Pipeline, store: Store, remains: Mapping[Window, landing.Remains]) -> None:
        self._pipeline, self._store, self._remains = pipeline, store, remains
        self._archive = Archive(pipeline, store)
        self._chains: dict[Window, Chain] = {}

    def plan(
        self, earlier: Mapping[Window, Sequence[Window]], served: release.Served | None
    ) -> Iterator[DayPlan]:
        """Plan each day, given with the earlier days of its training window, oldest first."""
        landed_by_then = set(earlier)
        for window, others in earlier.items():
            chain = self._data(window)
            trace_night(chain, [self._data(one) for one in others])
            also = [] if chain.rejected else [one for one in others if self._data(one).data_is_new]
            also = [one for one in also if one not in landed_by_then]
            landed_by_then.update(also)
            remains = self._remains.get(window)
            yield plan_day(chain, [self._data(one) for one in also], self._archive, remains, served)

    def _data(self, window: Window) -> Chain:
        if window not in self._chains:
            day = Day(self._pipeline, window, self._store)
            self._chains[window] = trace_data(day, self._archive, self._remains.get(window))
        return self._chains[window]


def _ask(question: Callable[[], Answer], silent: list[str]) -> Answer | None:
    """The answer; None, and a finding, if there is none."""
    try:
        return question()
    except (Unavailable, Misconfigured) as error:
        silent.append(str(error))
        return None


def _start(window: Window) -> Any:
    return window.start


def _moment(served: release.Served) -> str | None:
    return served.watermark.isoformat() if served.watermark else None
