"""What who must go back at night can choose from."""

from __future__ import annotations

import re
import shutil

import pytest

from ml.config import Pipeline
from ml.release import Records
from ml.release.destinations import destinations
from ml.release.ledger import Move
from ml.release.versions import Version
from ml.store import Store
from tests.ml.release.published import give_users, publish

ONE, TWO, THREE = "20261102001", "20261103001", "20261104001"


@pytest.fixture
def records(pipeline: Pipeline, store: Store) -> Records:
    return Records(pipeline, store)


@pytest.fixture
def versions(records: Records) -> list[Version]:
    """Three nights."""
    return [publish(records, day) for day in (2, 3, 4)]


def told(records: Records) -> dict[str, str]:
    """What is offered; whatever happened, it happened in the same minute."""
    return {
        name: re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "then", line)
        for name, line in destinations(records).items()
    }


def test_each_says_what_it_has_seen_and_when_it_served(records: Records, versions: list[Version]):
    assert told(records) == {
        "previous": f"previous: {TWO}, data of 2026-11-03, served until then",
        "golden": "golden: none that the ledger knows of",
        THREE: f"{THREE}, data of 2026-11-04, SERVES since then",
        TWO: f"{TWO}, data of 2026-11-03, served until then, previous",
        ONE: f"{ONE}, data of 2026-11-02, served until then",
    }


def test_what_was_rolled_back_says_why(records: Records, versions: list[Version]):
    give_users(
        records, versions[1], "rollback", "clicks fell by half since 01:40, and nobody knows why; " * 2
    )

    assert told(records)[THREE].endswith(
        "data of 2026-11-04, ROLLED BACK then: clicks fell by half since 01:40, and nobody knows why; …"
    )
    assert "SERVES since then" in told(records)[TWO]


def test_the_golden_version_is_marked(records: Records, versions: list[Version]):
    move = Move("golden", "golden", versions[0], None, "ada", "calm")
    records.ledger.append("moving", move)
    records.ledger.record(move)

    assert told(records)["golden"].endswith(f"{ONE}, data of 2026-11-02, served until then")
    assert told(records)[ONE].endswith("served until then, golden")


def test_a_version_whose_model_is_gone_is_not_offered(records: Records, versions: list[Version]):
    shutil.rmtree(records.store.open(versions[0].model))

    assert list(destinations(records)) == ["previous", "golden", THREE, TWO]


def test_to_read_them_leaves_no_trace_so_that_a_store_mounted_read_only_will_do(
    records: Records, versions: list[Version]
):
    shutil.rmtree(records.store.root / ".locks")
    before = {path: path.stat().st_mtime_ns for path in records.store.root.rglob("*")}

    assert ONE in destinations(records)

    assert {path: path.stat().st_mtime_ns for path in records.store.root.rglob("*")} == before


def test_a_damaged_ledger_hides_no_version(records: Records, versions: list[Version]):
    content = records.ledger.path.read_bytes()
    records.ledger.path.write_bytes(content.replace(b'"who":"ada"', b'"who":"eve"', 1))

    assert told(records)[TWO] == f"{TWO}, data of 2026-11-03"
    assert list(destinations(records)) == ["previous", "golden", THREE, TWO, ONE]
