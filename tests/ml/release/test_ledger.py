from __future__ import annotations

import pytest

from ml.artifact import Artifact, Window
from ml.pipelines import load_pipeline
from ml.release.ledger import Ledger
from ml.release.versions import Version
from ml.store import Store


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(load_pipeline("clicks"), store)


@pytest.fixture
def version(window: Window) -> Version:
    return Version(20260310001, Artifact(kind="model", uri="store:x", digest="d"), window)


def test_an_empty_ledger_knows_of_nothing(ledger: Ledger):
    assert (ledger.entries(), ledger.on_the_way, ledger.last_served) == ([], None, None)


def test_a_publication_is_on_the_way_until_it_is_done(ledger: Ledger, version: Version):
    ledger.append("moving", version, previous=20260309001)
    assert ledger.on_the_way is not None
    assert ledger.on_the_way["version"] == version.number
    assert ledger.last_served is None

    ledger.append("moved", version, previous=20260309001)
    assert ledger.on_the_way is None
    assert ledger.last_served == version.number


def test_a_retry_adds_no_line(ledger: Ledger, version: Version):
    for _ in range(3):
        ledger.append("moving", version, previous=None)

    assert [entry["event"] for entry in ledger.entries()] == ["moving"]


def test_a_line_says_which_model_and_how_new_its_data(ledger: Ledger, version: Version, window: Window):
    ledger.append("moving", version, previous=None)

    (entry,) = ledger.entries()
    assert (entry["model"], entry["watermark"]) == ("d", window.end.isoformat())
