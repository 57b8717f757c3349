"""What the steps of realised labels say where they cannot begin."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from ml.__main__ import main
from ml.connections import ServingConnection
from ml.errors import Misconfigured, Withheld
from ml.steps import find_trials, land_predictions
from ml.trials import TrialSpan

DAY = {
    "pipeline": "clicks",
    "start": "2026-03-10T00:00:00+00:00",
    "end": "2026-03-11T00:00:00+00:00",
}
TRIAL = TrialSpan(version=2, stable=1, since=DAY["start"], until=DAY["end"])
SERVING = ServingConnection(
    rest="http://127.0.0.1:1",
    grpc="127.0.0.1:1",
    models_dir=Path(),
    server_models_dir=Path(),
    config_file=Path("models.config"),
)


@pytest.fixture(autouse=True)
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clicks pipeline with a canary, in an empty store."""
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path))
    monkeypatch.setenv("RETRAIN_CLICKS__SERVING__CANARY", "{realised: {inputs: [user_id, item_id]}}")


def test_a_day_without_a_canary_has_nothing_to_judge() -> None:
    with pytest.raises(Withheld, match="no canary of clicks was tried on 2026-03-10"):
        find_trials(**DAY)


@pytest.mark.parametrize("setting", ["{share: 0.1}", "null"])
def test_a_pipeline_that_does_not_say_how_is_told_what_to_add(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_CLICKS__SERVING__CANARY", setting)

    with pytest.raises(Misconfigured, match=r"Add serving\.canary\.realised"):
        find_trials(**DAY)


def test_a_connection_that_does_not_name_the_record_is_told_to(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="Add predictions_dir to the serving connection"):
        land_predictions(**DAY, trials=[TRIAL], serving=SERVING)

    nowhere = SERVING.model_copy(update={"predictions_dir": tmp_path / "nowhere"})
    with pytest.raises(Misconfigured, match="the router's record of answers is missing"):
        land_predictions(**DAY, trials=[TRIAL], serving=nowhere)


def test_a_day_that_has_not_settled_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    tomorrow = (date.today() + timedelta(days=1)).isoformat()

    assert main(["rollout", "realised", "--pipeline", "clicks", "--day", tomorrow]) != 0
    assert f"{tomorrow} settles at " in capsys.readouterr().err
