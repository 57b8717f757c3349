"""What stays whatever its age: versions that runs may need, and what the ledger names."""

from __future__ import annotations

import pytest

from ml.config import Approval, Canary, Pipeline
from ml.config.canary import Rollout
from ml.housekeeping.holdings import read_holdings
from ml.housekeeping.plan import read_plan
from ml.housekeeping.removing import remove_artifacts
from ml.housekeeping.roots import find_evidence, find_roots, versions_in_use
from ml.release import Records
from ml.release.ledger import Move
from ml.store import Store
from tests.ml.housekeeping.rooms import NOW, is_there, make, use, whole

VERSION = 20260310001


def serving(pipeline: Pipeline, **settings: object) -> Pipeline:
    return pipeline.model_copy(update={"serving": pipeline.serving.model_copy(update=settings)})


def named_by_a_run(store: Store, hours_ago: float) -> None:
    """What a run that began so many hours ago has read as production."""
    content = {"model": None, "statistics": []}
    production = make(store, "production", days_ago=100, content=content, version=VERSION)
    use(store, production, hours_ago / 24)


@pytest.mark.parametrize(
    ("settings", "hours"),
    [
        ({}, 24),
        ({"approval": Approval(verdicts=("PASS",), response_hours=20)}, 44),
        ({"canary": Canary(rollout=Rollout(max_minutes=48 * 60))}, 72),
        (
            {
                "canary": Canary(rollout=Rollout(max_minutes=60)),
                "approval": Approval(verdicts=("PROMOTE",), response_hours=12),
            },
            37,
        ),
    ],
    ids=["work", "a person is asked", "a canary is tried", "a canary is tried and a person is asked"],
)
def test_a_version_is_in_use_for_as_long_as_a_run_that_has_named_it_may_go_on(
    pipeline: Pipeline, store: Store, settings: dict[str, object], hours: int
) -> None:
    patient = serving(pipeline, **settings)

    named_by_a_run(store, hours - 0.5)
    assert versions_in_use(patient, read_holdings(store, "small"), NOW) == {VERSION}

    named_by_a_run(store, hours + 0.5)
    assert versions_in_use(patient, read_holdings(store, "small"), NOW) == set()


def test_the_evidence_of_a_withdrawn_canary_outlives_its_model(pipeline: Pipeline, store: Store) -> None:
    records = Records(pipeline, store)
    model = make(store, "model", 100)
    rollout = make(store, "rollout", 100, [model], content={"decision": "ROLL_BACK"})
    another = make(store, "rollout", 101, [model], content={"decision": "HOLD"})
    version = records.versions.allot(model, store.manifest(model).identity.window)
    records.ledger.note(
        Move("withdraw", "canary", version, version.number, "ada", "it fails", evidence=rollout["uri"])
    )

    holdings = read_holdings(store, pipeline.name)
    plan = read_plan(pipeline, store, find_roots(records, holdings, {}, {}), find_evidence(records), NOW)
    remove_artifacts(store, plan, whole)

    assert plan.kept == {"named as evidence by the ledger": 1}
    assert [is_there(store, one) for one in (rollout, another, model)] == [True, False, False]
    assert store.read_json(rollout) == {"decision": "ROLL_BACK"}
