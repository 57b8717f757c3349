from __future__ import annotations

import pytest

from ml.release.reconciliation import CHECK_HOME, judge
from ml.release.sight import Sight

ONE, TWO = Sight(20261102001), Sight(20261103001)
NOTHING, STRANGER = Sight(None), Sight(None, stranger="model abc")
DOWN = Sight(None, "did not answer", is_silent=True)
TORN = Sight(None, "MLflow has followed line 7, and the ledger has no such line. Restore it from a copy.")
UNLOADED = Sight(None, "names a version that is not loaded", unloaded=True)
BACK = 'python -m ml rollback --pipeline clicks --to previous --reason "…"'
BACK_TO_ONE = 'python -m ml rollback --pipeline clicks --to 20261102001 --reason "reconcile: …"'
SETTLE = "python -m ml reconcile --pipeline clicks --settle"


@pytest.mark.parametrize(
    ("server", "registry", "ledger", "on_the_way", "command"),
    [
        (ONE, ONE, ONE, None, ""),
        (NOTHING, NOTHING, NOTHING, None, ""),
        # A move that was lost after the label had moved is finished.
        (TWO, ONE, ONE, TWO.version, SETTLE),
        (TWO, ONE, TWO, TWO.version, SETTLE),
        # One that was lost before is as good as none.
        (ONE, ONE, ONE, TWO.version, ""),
        # A stranger moved the label, the alias, both; or the server has lost its config.
        (TWO, ONE, ONE, None, BACK_TO_ONE),
        (ONE, TWO, ONE, None, BACK_TO_ONE),
        (ONE, STRANGER, ONE, None, BACK_TO_ONE),
        (ONE, ONE, TWO, None, BACK_TO_ONE),
        (NOTHING, ONE, ONE, None, BACK_TO_ONE),
        # The ledger was set aside: what serves is known to the registry.
        (ONE, ONE, NOTHING, None, BACK_TO_ONE),
        (ONE, TWO, NOTHING, None, CHECK_HOME),
        # Who does not answer cannot be brought into line.
        (DOWN, ONE, ONE, None, ""),
        (ONE, DOWN, ONE, None, ""),
        (ONE, TORN, ONE, None, ""),
        # Who names what is not loaded can.
        (UNLOADED, ONE, ONE, None, BACK),
    ],
)
def test_there_is_one_safe_command(
    server: Sight, registry: Sight, ledger: Sight, on_the_way: int | None, command: str
):
    assert judge("clicks", server, registry, ledger, on_the_way)[1] == command


def test_who_does_not_answer_is_said():
    assert "Get it to answer first" in judge("clicks", DOWN, ONE, ONE, None)[0]
    assert "MLflow does not say" in judge("clicks", ONE, DOWN, ONE, None)[0]


def test_for_what_a_person_must_mend_nobody_is_told_to_wait():
    found, _ = judge("clicks", ONE, TORN, TWO, None)

    assert found.startswith("Label and ledger differ; the registry cannot be compared. Waiting does not help")
