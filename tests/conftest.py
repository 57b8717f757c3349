"""What every test may use."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from ml.artifact import Window
from ml.store import Store

# How long an example takes says more about the machine than about the code. CI draws the same examples every
# time; at a desk new ones are drawn.
settings.register_profile("house", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("house")

# ``make test`` deals the files out to its workers in this order, each file to one of them. What takes minutes
# begins first: begun last, it would leave the others with nothing to do. The rest takes seconds a file.
LONGEST_FIRST = (
    "integration/test_backfills.py",
    "integration/test_airflow_nights.py",
    "integration/test_airflow_moves.py",
    "integration/test_walk.py",
    "integration/test_training.py",
    "integration/test_killed_steps.py",
    "integration/test_killed_rollouts.py",
    "integration/test_rollout.py",
    "integration/test_release.py",
    "integration/test_landing_faults.py",
    "integration/test_backfills_page.py",
    "ml/release/test_fence_machine.py",
    "integration/test_rollback.py",
    "integration/test_second_pipeline.py",
    "integration/test_load.py",
    "integration/test_watch.py",
    "integration/test_housekeeping.py",
    "demo/test_model_server_process.py",
    "demo/test_kafka.py",
    "integration/test_kafka_windows.py",
    "integration/test_router.py",
    "integration/test_backfill_report.py",
)
RANKS = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST_FIRST)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    items.sort(key=lambda item: RANKS.get(item.path, len(RANKS)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failure in CI, which has everything that a test can ask for."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI skips nothing: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def kafka_can_run() -> None:
    """Skips, and says what to install, on a machine that cannot run Apache Kafka."""
    from tests.demo.kafka import what_is_missing

    if missing := what_is_missing():
        pytest.skip(missing)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A RETRAIN_HOME of the test's own."""
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def store(home: Path) -> Store:
    return Store.from_environment()


@pytest.fixture
def window() -> Window:
    return Window.parse("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")
