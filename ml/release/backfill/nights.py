"""The nights of a backfill: what each came to before, the original, and what it came to now, the replay."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ml.release.run_labels import KIND, NIGHT, RUN_KEY, run_key_of
from ml.release.run_log import find_run, read_json
from ml.release.tries import FILE, TRIES, Try, state_before

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:\d{2})")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
SIDES = ("candidate", "gain")


@dataclass(frozen=True)
class Backfill:
    """Some nights that were run again together.

    Attributes:
        key: names it for ever, such as ``airflow/3``.
        what_if: the name of the what-if; empty if the nights themselves were run again.
        nights: the run keys of its nights, as they were given to ``log_to_mlflow``.
        started_at: ISO 8601 with an offset; tells what a night came to before the backfill from what it
            came to in it. Empty if it is not known: then the original is the try before the last one.
        failed: run key → why the night did not come to be logged.
    """

    key: str
    nights: list[str]
    what_if: str = ""
    started_at: str = ""
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReplayedNight:
    """One night of a backfill.

    Attributes:
        key: its run key.
        day: the calendar day; the key if that names none.
        original: what it came to before; None if it never ran before.
        replay: what it came to in the backfill; None if it did not come to be logged.
        missing: why there is no replay; empty if there is one.
        run_id: of the MLflow run of the replay; empty if there is none.
    """

    key: str
    day: str
    original: Try | None
    replay: Try | None
    missing: str = ""
    run_id: str = ""

    @property
    def outcome(self) -> str:
        """``missing``, ``new`` if there is no original, ``same`` or ``changed``."""
        if self.replay is None:
            return "missing"
        if self.original is None:
            return "new"
        return "same" if _findings(self.original) == _findings(self.replay) else "changed"

    @property
    def same_examples(self) -> bool | None:
        """Whether both were made from the same landed examples; None if one of them is unknown."""
        digests = [
            each["artifacts"].get("examples", {}).get("digest") if each else None
            for each in (self.original, self.replay)
        ]
        return None if None in digests else digests[0] == digests[1]


class Nights:
    """Reads the nights of a backfill from one experiment.

    Attributes:
        client: of the MLflow server.
        experiment_id: of the pipeline's experiment.
        time_zone: the pipeline's.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, time_zone: str) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.time_zone = time_zone

    def read(self, backfill: Backfill) -> list[ReplayedNight]:
        """All nights of the backfill by day, the missing ones among them."""
        return sorted((self._read(key, backfill) for key in backfill.nights), key=lambda night: night.day)

    def _read(self, key: str, backfill: Backfill) -> ReplayedNight:
        run = find_run(self.client, self.experiment_id, run_key_of(key, backfill.what_if))
        tries = self._tries(run)
        day = run.data.tags["day"] if run and tries else day_of_key(key, self.time_zone)
        before = self._tries(find_run(self.client, self.experiment_id, key)) if backfill.what_if else tries
        original = original_of(before, backfill) or self._elsewhere(day, key)
        if run is None or not tries or key in backfill.failed:
            return ReplayedNight(key, day, original, None, backfill.failed.get(key, "no MLflow run"))
        return ReplayedNight(key, day, original, tries[-1], run_id=str(run.info.run_id))

    def _elsewhere(self, day: str, key: str) -> Try | None:
        """What another run of the loop over the same day came to, the newest of them."""
        clause = f"tags.day = '{day}' and tags.`{KIND}` = '{NIGHT}' and tags.`{RUN_KEY}` != '{key}'"
        runs = self.client.search_runs(
            [self.experiment_id], clause, max_results=1, order_by=["attributes.start_time DESC"]
        )
        tries = self._tries(next(iter(runs), None))
        return tries[-1] if tries else None

    def _tries(self, run: Run | None) -> list[Try]:
        if run is None or TRIES not in run.data.tags:
            return []
        return list(read_json(self.client, run.info.run_id, FILE))


def original_of(tries: list[Try], backfill: Backfill) -> Try | None:
    """The try that a backfill is compared with, out of a night's tries.

    A what-if has a run of its own, so all tries of the night's run are originals. Otherwise it is the last
    try from before the backfill, as it was then; a night that came to the same again is its own original.
    """
    if backfill.what_if:
        return tries[-1] if tries else None
    if not backfill.started_at:
        return tries[-2] if len(tries) > 1 else None
    started = datetime.fromisoformat(backfill.started_at).replace(microsecond=0)
    before = [state for each in tries if (state := state_before(each, started))]
    return before[-1] if before else None


def day_of_key(key: str, time_zone: str) -> str:
    """The day that a run key names, in the pipeline's time zone; the key itself if it names none.

    Airflow's run ids hold the start of the day as a moment, the command line's keys the day.
    """
    if moment := MOMENT.search(key):
        return datetime.fromisoformat(moment[0]).astimezone(ZoneInfo(time_zone)).date().isoformat()
    day = DAY.search(key)
    return day[0] if day else key


def _findings(each: Try) -> tuple[object, ...]:
    metrics = {name: value for name, value in each["metrics"].items() if name.startswith(SIDES)}
    return each["verdict"], metrics
