from __future__ import annotations

import pytest

from ml.__main__ import main
from ml.connections import KAFKA_VARIABLE, MLFLOW_VARIABLE, SERVING_VARIABLE
from ml.errors import Misconfigured
from ml.steps import backfill_windows

NOWHERE = {
    KAFKA_VARIABLE: '{"config": {"bootstrap.servers": "127.0.0.1:1"}}',
    MLFLOW_VARIABLE: '{"uri": "http://127.0.0.1:1"}',
    SERVING_VARIABLE: '{"rest": "http://127.0.0.1:1", "grpc": "127.0.0.1:1", "models_dir": "x", '
    '"server_models_dir": "x", "config_file": "x"}',
}


@pytest.mark.parametrize(
    ("pipeline", "first", "last", "words"),
    [
        ("clicks", "2026-03-03", "2026-03-01", "the first day, 2026-03-03, lies after the last, 2026-03-01"),
        ("clicks", "2026-03-03", "2999-01-01", "2999-01-01 is over at 2999-01-02 00:00 UTC only"),
        ("nowhere", "2026-03-01", "2026-03-01", "there is no pipeline 'nowhere'"),
    ],
)
def test_a_plan_of_no_days_says_why(
    pipeline: str,
    first: str,
    last: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for variable, value in NOWHERE.items():
        monkeypatch.setenv(variable, value)

    code = main(["backfill", "plan", "--pipeline", pipeline, "--from", first, "--to", last])

    printed = capsys.readouterr()
    assert (code, printed.out) == (1, "")
    assert printed.err.startswith("Misconfigured: ")
    assert words in printed.err


def test_a_word_for_a_day_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["backfill", "plan", "--pipeline", "clicks", "--from", "yesterday", "--to", "2026-03-01"])

    assert "'yesterday' is no day" in capsys.readouterr().err
    with pytest.raises(Misconfigured, match="'yesterday' is no day"):
        backfill_windows("yesterday", "2026-03-01", "UTC")
