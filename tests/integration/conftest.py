"""What the tests that walk whole nights share: servers that are started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.demo.stack import Services, running_services


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A broker, an MLflow and a model server. Every module that uses them has a pipeline of its own name."""
    with running_services(tmp_path_factory.mktemp("services")) as services:
        yield services
