"""What users did after a real router had answered them, and the later word on a canary by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ml.artifact import Artifact, Window
from ml.evaluation.realised import Day, judge_realised
from ml.landing.predictions import AnswerLog, land_predictions
from ml.manifest import Identity
from ml.release.registry import Registry
from ml.release.rollout.past_trials import trials_within
from ml.release.rollout.reassessment import Reassessed, record_realised
from ml.release.tracking import open_mlflow
from ml.store import Draft
from tests.demo.router import Router
from tests.integration.canaries import REALISED, CanaryPlace


@dataclass(frozen=True)
class Clicks:
    """A place, and the router that has recorded its answers.

    Attributes:
        place: see above.
        router: see above.
        window: of the answers and of what was clicked after them.
    """

    place: CanaryPlace
    router: Router
    window: Window = field(default_factory=lambda: window_around(datetime.now(timezone.utc)))

    def judge(self, clicked_on_canary: float) -> list[Reassessed]:
        """The later word, after half of stable's answers and this share of the canary's were clicked."""
        place, window = self.place, self.window
        trials = trials_within(place.ledger.entries(), ("stable", "canary"), window)
        answers = AnswerLog(self.router.predictions, place.model, REALISED)

        def produce(kind: str, write: Callable[[Draft], None], **inputs: Artifact) -> Artifact:
            return place.store.produce(Identity(kind, place.name, window, inputs, {}), write)

        record = answers.directory
        examples = produce("examples", lambda draft: write_clicks(record, clicked_on_canary, draft))
        predictions = produce("predictions", lambda draft: land_predictions(answers, trials, draft))
        directories = (place.store.open(examples), place.store.open(predictions))
        day = Day(place.pipeline, REALISED, window, *directories)
        content = place.store.read_json(predictions)
        both = {"examples": examples, "predictions": predictions}
        realised = produce("realised", lambda draft: judge_realised(day, content, draft), **both)
        return record_realised(realised, place.records, place.tracks, place.mlflow, "a test")

    def tagged(self, version: int) -> dict[str, str]:
        """What MLflow says at the run of a version."""
        with open_mlflow(self.place.mlflow) as client:
            found = Registry(client, self.place.model).find_served(version)
            assert found is not None
            return dict(client.get_run(found.run_id).data.tags)


def window_around(now: datetime) -> Window:
    """A day before and a day after."""
    return Window(now - timedelta(days=1), now + timedelta(days=1))


def write_clicks(record: Path, clicked_on_canary: float, draft: Draft) -> None:
    """A landed event for each recorded answer."""
    files = sorted(record.glob("*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    share = {"canary": clicked_on_canary, "stable": 0.5}
    events = {
        "event_time": [line["time"] + 1000 for line in lines],
        "request_id": [line["trace"] for line in lines],
        "clicked": [int(number % 10 < 10 * share[line["track"]]) for number, line in enumerate(lines)],
    }
    pq.write_table(pa.table(events), draft.path / "part-00000.parquet")
