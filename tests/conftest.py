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
