"""The compose file as an engine reads it: with the variables of a fresh .env filled in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.make_env import make_env

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yaml"
GIT_BUNDLE_FILE = ROOT / "deploy/git-bundle.yaml"
REPOSITORY_URL = "https://git.invalid/recommender/retraining.git"


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `make env` writes on a fresh machine."""
    file = tmp_path_factory.mktemp("env") / ".env"
    make_env(file)
    return dict(line.split("=", 1) for line in file.read_text().splitlines() if not line.startswith("#"))


@pytest.fixture(scope="session")
def services(environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The services of docker-compose.yaml, variables filled in."""
    return interpolate(COMPOSE_FILE, environment)["services"]


@pytest.fixture(scope="session")
def git_bundle_services(environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What the git bundle's file lays over them."""
    return interpolate(GIT_BUNDLE_FILE, {**environment, "RETRAIN_GIT_URL": REPOSITORY_URL})["services"]


def interpolate(file: Path, variables: dict[str, str]) -> dict[str, Any]:
    """Read a compose file whose variables are ``${NAME:?message}`` or ``${NAME:-default}``."""

    def fill(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        return variables.get(name, rest) if operator == "-" else variables[name]

    return yaml.safe_load(re.sub(r"\$\{(\w+):([?-])([^}]*)\}", fill, file.read_text()))


def mounts(service: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """A service's mounts: target to (source, mode)."""
    parts = [volume.split(":") for volume in service.get("volumes", [])]
    return {part[1]: (part[0], part[2] if len(part) > 2 else "rw") for part in parts}
