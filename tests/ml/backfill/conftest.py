"""Nights that stand in a store as the steps would have left them, without their bytes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml import identities
from ml.artifact import Artifact, Window
from ml.backfill.asked import Asked
from ml.backfill.day_plan import DayPlan
from ml.backfill.plan import Tracing
from ml.config import Pipeline
from ml.day import Day
from ml.landing import Remains
from ml.manifest import SCHEME, Identity
from ml.release import Served
from ml.removal import Removal, note_removal
from ml.store import Draft, Store
from ml.training_window import WindowDay, earlier_days
from tests.ml.small_pipeline import small_pipeline

FIRST = date(2026, 3, 10)
COUNTS = {
    "accepted": 1000, "rejected": {}, "reject_examples": {}, "late": 0, "outside": 0, "scanned": 1000,
    "unknown_fields": {}, "first_event": None, "last_event": None, "first_scanned_event": None,
    "last_scanned_event": None,
}  # fmt: skip
OUTDATED = "last used on 2026-07-02; models are kept for 30 days (housekeeping.models_days)"
NOTHING_SERVED = Served(version=None, watermark=None, aliased=True)


@dataclass
class Nights:
    """A pipeline with a window of two days, and the nights that it has had."""

    pipeline: Pipeline
    store: Store
    seconds: float = 2.0
    variant: Mapping[str, str] = field(default_factory=dict)

    def window(self, day: int) -> Window:
        """The n-th day, from 0 on."""
        return Window.of_day(FIRST + timedelta(days=day), "UTC")

    def land(self, day: int, caveats: Sequence[str] = (), **counts: Any) -> Artifact:
        here = self._day(day)
        offsets = self._write(identities.identify_offsets(here))
        facts = {**COUNTS, **counts}
        return self._write(identities.identify_examples(here, offsets), facts=facts, caveats=caveats)

    def check(self, day: int, stop: bool = False) -> WindowDay:
        """Land, describe and check a day."""
        here, examples = self._day(day), self.land(day)
        statistics = self._write(identities.identify_statistics(here, examples))
        findings = [{"feature": "age", "description": "x", "examples": [], "severity": "stop"}] * stop
        content = {"stop": stop, "rows": 1000, "findings": findings}
        anomalies = self._write(identities.identify_anomalies(here, examples, statistics), content)
        return WindowDay(
            day=here.name, examples=examples, statistics=statistics, anomalies=anomalies, left_out=None
        )

    def run(self, day: int, publish: bool = False, judged_against: int | None = None) -> Artifact:
        """A whole night up to its blessing."""
        here = self._day(day)
        days = [self.check(day - back) for back in range(len(earlier_days(here)), -1, -1)]
        today = days[-1]
        assert today["statistics"]
        production = self._write(identities.identify_production(here), {"version": judged_against})
        drift = self._write(identities.identify_drift_report(here, today["statistics"], production))
        gathered = self._write(identities.identify_training_window(here, days))
        model = self._write(identities.identify_model(here, gathered))
        evaluation = self._write(identities.identify_evaluation(here, model, production, gathered))
        evidence = {
            "production": production, "anomalies": today["anomalies"], "drift_report": drift,
            "evaluation": evaluation,
        }  # fmt: skip
        verdict = {"verdict": "PASS" if publish else "FAIL", "publish": publish, "reasons": []}
        return self._write(identities.identify_blessing(here, evidence), verdict)

    def plan(
        self,
        first: int,
        last: int,
        remains: dict[int, Remains] | None = None,
        served: Served | None = NOTHING_SERVED,
        asked: Asked = Asked(),  # noqa: B008 - frozen
    ) -> list[DayPlan]:
        """Plan from the first to the last day with the settings of now."""
        days = [self._day(day) for day in range(first, last + 1)]
        left = {self.window(day): what for day, what in (remains or {}).items()}
        return list(Tracing(days, left, asked).plan(served))

    def try_out(self, name: str) -> None:
        """Go on as the what-if of this name."""
        self.variant = {"name": name, "code": "c0de"}

    def housekeep(self, *kinds: str) -> None:
        """Take all artifacts of these kinds, as housekeeping would have done on the first of August."""
        for kind in kinds:
            for manifest in self.store.manifests(self.pipeline.name, kind):
                uri = manifest.identity.uri
                note_removal(self.store.root, uri, Removal("2026-08-01T14:00:00+00:00", OUTDATED))
                shutil.rmtree(self.store.root / uri.removeprefix(SCHEME))

    def configure(self, section: str, **values: Any) -> None:
        """Change settings as an edit of pipeline.yaml would."""
        changed = getattr(self.pipeline, section).model_copy(update=values)
        self.pipeline = self.pipeline.model_copy(update={section: changed})

    def _day(self, day: int) -> Day:
        return Day(self.pipeline, self.window(day), self.store, self.variant)

    def _write(
        self,
        identity: Identity,
        content: Any = None,
        facts: dict[str, Any] | None = None,
        caveats: Sequence[str] = (),
    ) -> Artifact:
        def write(draft: Draft) -> None:
            draft.write_json(content or {})
            draft.facts.update(facts or {})
            draft.caveats.extend(caveats)
            draft.measurements["seconds"] = self.seconds

        return self.store.produce(identity, write)


@pytest.fixture
def nights(store: Store, tmp_path: Path) -> Nights:
    return Nights(small_pipeline(tmp_path / "small", window_days=2), store)
