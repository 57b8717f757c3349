"""The later word on a canary beside its model in MLflow."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from ml.artifact import Artifact, Window
from ml.config import Canary, Pipeline
from ml.connections import MlflowConnection, ServingConnection
from ml.manifest import Identity
from ml.release import Records
from ml.release.registry import DIGEST, Registry
from ml.release.rollout.reassessment import record_realised
from ml.release.rollout.tracks import Tracks
from ml.release.tracking import open_mlflow
from ml.release.versions import Version
from ml.store import Store
from tests.ml.release.published import publish

NOBODY = ServingConnection(
    rest="http://127.0.0.1:1",
    grpc="127.0.0.1:1",
    models_dir=Path(),
    server_models_dir=Path(),
    config_file=Path("models.config"),
)


@pytest.fixture(params=["UTC", "Pacific/Auckland"])
def records(pipeline: Pipeline, store: Store, request: pytest.FixtureRequest) -> Records:
    """Of a pipeline with a canary; in New Zealand's summer the middle of a day is the day before in UTC."""
    landing = pipeline.landing.model_copy(update={"time_zone": request.param})
    serving = pipeline.serving.model_copy(update={"canary": Canary()})
    return Records(pipeline.model_copy(update={"landing": landing, "serving": serving}), store)


@pytest.fixture
def mlflow(tmp_path: Path) -> MlflowConnection:
    return MlflowConnection(uri=f"sqlite:///{tmp_path}/mlflow.db")


def judged(records: Records, version: Version, day: int, *verdicts: str) -> Artifact:
    """What the clicks of a day came to: a verdict for each of the version's trials."""
    window = Window.of_day(date(2026, 11, day), records.pipeline.landing.time_zone)
    trials = [
        {
            "version": version.number,
            "verdict": verdict,
            "reasons": [f"trial {number} of day {day}"],
            "until": window.end.isoformat(),
            "tracks": {},
        }
        for number, verdict in enumerate(verdicts)
    ]
    content = {"day": f"2026-11-{day:02d}", "trials": trials}
    identity = Identity("realised", records.pipeline.name, window, {}, {})
    return records.store.produce(identity, lambda draft: draft.write_json(content))


def test_mlflow_has_the_word_that_counts_whatever_could_not_be_told_since(
    records: Records, mlflow: MlflowConnection
) -> None:
    version, model = publish(records, 4), records.pipeline.serving.model
    with open_mlflow(mlflow) as client:
        client.create_registered_model(model)
        client.create_model_version(model, "/nowhere", tags={DIGEST: version.model["digest"]})

    def told(day: int, *verdicts: str) -> tuple[str, ...]:
        realised = judged(records, version, day, *verdicts)
        record_realised(realised, records, Tracks(NOBODY, NOBODY), mlflow, "ada")
        with open_mlflow(mlflow) as client:
            tags = Registry(client, model).find_logged(version.model["digest"]).tags
        return tuple(tags[f"realised.{name}"] for name in ("day", "verdict", "reasons"))

    assert told(4, "INCONCLUSIVE") == ("2026-11-04", "INCONCLUSIVE", "trial 0 of day 4")
    doubted = ("2026-11-05", "DOUBTED", "trial 0 of day 5")
    assert told(5, "DOUBTED", "INCONCLUSIVE") == doubted
    assert told(6, "INCONCLUSIVE") == doubted
    assert told(7, "CONFIRMED") == ("2026-11-07", "CONFIRMED", "trial 0 of day 7")
