"""What a person is told who goes back, or names a golden version, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ml import steps
from ml.__main__ import main
from ml.connections import MLFLOW_VARIABLE, SERVING_VARIABLE

SERVING = """{"rest": "http://127.0.0.1:9", "grpc": "127.0.0.1:9",
"models_dir": "/m", "server_models_dir": "/m", "config_file": "/m/models.config"}"""
BEHIND = (
    "MLflow did not follow: the next night has it follow, or when it answers: "
    "python -m ml reconcile --pipeline clicks --settle"
)
WORDS = {
    "roll_back": ["rollback", "--to", "20261102001"],
    "set_golden": ["golden", "set", "--version", "20261102001"],
}
SAID = {
    "roll_back": "clicks is served by 20261102001 (before: 20261103001), after 0.4 s. ",
    "set_golden": "20261102001 is golden (before: 20261103001). ",
}


def coming_to(aliased: bool) -> Callable[..., dict[str, Any]]:
    """A step that has moved a label."""
    return lambda *_, **__: {
        "version": 20261102001,
        "previous": 20261103001,
        "aliased": aliased,
        "seconds": 0.4,
    }


@pytest.mark.parametrize("step", sorted(WORDS))
@pytest.mark.parametrize(
    ("aliased", "ending"),
    [(True, "The ledger and MLflow say so too."), (False, BEHIND)],
)
def test_whether_mlflow_has_followed_is_said_with_what_to_do(
    step: str, aliased: bool, ending: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(SERVING_VARIABLE, SERVING)
    monkeypatch.setenv(MLFLOW_VARIABLE, '{"uri": "http://127.0.0.1:9"}')
    monkeypatch.setattr(steps, step, coming_to(aliased))

    assert main([*WORDS[step], "--pipeline", "clicks", "--reason", "two calm weeks"]) == 0

    assert capsys.readouterr().out.strip() == SAID[step] + ending
