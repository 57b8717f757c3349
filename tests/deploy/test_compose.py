"""docker-compose.yaml holds what docs/compose.md promises. No engine is needed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.make_env import VARIABLES
from tests.deploy.conftest import COMPOSE_FILE, GIT_BUNDLE_FILE, ROOT, mounts

Services = dict[str, dict[str, Any]]
SECRET_NAME = re.compile(r"PASSWORD|SECRET|FERNET|TOKEN|PRIVATE")
BUNDLE_IMAGE = "retraining-bundle:local"
OUR_USER = "50000:0"
ONCE = {"prepare-volumes", "airflow-init"}


@pytest.mark.parametrize("file", [COMPOSE_FILE, GIT_BUNDLE_FILE], ids=lambda file: file.name)
def test_the_file_is_valid_by_the_compose_specification(file: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]

    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout


def test_every_variable_is_required_and_make_env_writes_it() -> None:
    lines = [line for line in COMPOSE_FILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(lines)
    required = re.findall(r"\$\{(\w+):\?run make env\}", text)
    secrets = [secret["environment"] for secret in yaml.safe_load(text)["secrets"].values()]

    assert len(required) == text.count("$"), "a variable has a default or no message"
    assert {*required, *secrets} == set(VARIABLES)


@pytest.mark.parametrize("file", [COMPOSE_FILE, GIT_BUNDLE_FILE], ids=lambda file: file.name)
def test_no_secret_stands_in_the_file(file: Path) -> None:
    written = yaml.safe_load(file.read_text())["services"]
    for name, service in written.items():
        for variable, value in service.get("environment", {}).items():
            if SECRET_NAME.search(variable) and not variable.endswith("_FILE"):
                assert re.fullmatch(r"\$\{\w+:\?run make env\}", value), f"{name}: {variable}"
            assert not re.search(r"://\w+:(?!\$\{)[^/]*@", str(value)), f"{name}: {variable}"


def test_nothing_is_published_beyond_this_machine(services: Services) -> None:
    ports = [port.split(":") for service in services.values() for port in service.get("ports", [])]

    assert ports
    assert {address for address, _, _ in ports} == {"127.0.0.1"}
    assert len({port for _, port, _ in ports}) == len(ports)


def test_every_image_is_pinned_to_a_patch_release(services: Services) -> None:
    images = [service["image"] for service in services.values() if service["image"] != BUNDLE_IMAGE]
    bases = re.findall(r"^FROM (\S+)", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)

    assert images
    assert len(set(bases)) == 1
    for image in [*images, *bases]:
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z-]+)?$", image), image


def test_the_image_is_built_from_the_lock_alone(services: Services) -> None:
    built = [name for name, service in services.items() if "build" in service]
    patterns = (ROOT / ".dockerignore").read_text().splitlines()

    assert built == ["prepare-volumes"]
    assert [line for line in patterns if line and not line.startswith("#")] == ["*", "!/requirements.txt"]


def test_what_runs_for_long_is_restarted_and_watched(services: Services) -> None:
    for name, service in services.items():
        if name in ONCE:
            assert service["restart"] == "no"
        else:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"][0] == "CMD", name


def test_a_service_waits_until_what_it_needs_is_ready(services: Services) -> None:
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            ready = "service_completed_successfully" if needed in ONCE else "service_healthy"
            assert how == {"condition": ready}, f"{name} on {needed}"


def test_everything_of_ours_starts_after_its_image_and_volumes_are_ready(services: Services) -> None:
    needs = {name: set(service.get("depends_on", {})) for name, service in services.items()}
    for name in TopologicalSorter(needs).static_order():
        needs[name] |= {earlier for needed in needs[name] for earlier in needs[needed]}

    ours = {name for name, service in services.items() if service["image"] == BUNDLE_IMAGE}
    assert all("prepare-volumes" in needs[name] for name in ours - {"prepare-volumes"})
    assert all(services[name]["pull_policy"] == "never" for name in ours - {"prepare-volumes"})


def test_every_volume_that_our_user_writes_to_is_handed_to_it(services: Services) -> None:
    prepared = services["prepare-volumes"]
    handed = {mounts(prepared)[target][0] for target in prepared["command"][1:]}
    written = {
        source
        for service in services.values()
        if service["image"] == BUNDLE_IMAGE or service.get("user") == OUR_USER
        for source, mode in mounts(service).values()
        if mode == "rw"
    }

    assert written == handed


def test_every_named_volume_is_declared_and_used(services: Services) -> None:
    declared = set(yaml.safe_load(COMPOSE_FILE.read_text())["volumes"])
    used = {source for service in services.values() for source, _ in mounts(service).values()}

    assert {source for source in used if not source.startswith(".")} == declared


def test_what_is_mounted_from_the_repository_exists_and_is_read_only(services: Services) -> None:
    for name, service in services.items():
        for target, (source, mode) in mounts(service).items():
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name}: {source}"
                assert mode == "ro", f"{name}: {target}"


def test_every_script_that_a_service_runs_exists(services: Services) -> None:
    arguments = [
        str(argument)
        for service in services.values()
        for argument in [*service.get("command", []), *service.get("healthcheck", {}).get("test", [])]
    ]
    scripts = {argument for argument in arguments if argument.startswith("/opt/retraining/")}

    assert len(scripts) == 4
    for script in scripts:
        assert (ROOT / script.removeprefix("/opt/retraining/")).is_file(), script


def test_the_shell_script_is_executable_and_parses() -> None:
    script = ROOT / "deploy/prepare_volumes.sh"

    assert script.stat().st_mode & 0o111 == 0o111
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0


def test_kafka_names_every_listener_wherever_one_must_be_named(services: Services) -> None:
    environment = services["kafka"]["environment"]
    listeners = set(re.findall(r"(\w+)://", environment["KAFKA_LISTENERS"]))
    protocols = set(re.findall(r"(\w+):PLAINTEXT", environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"]))
    advertised = set(re.findall(r"(\w+)://", environment["KAFKA_ADVERTISED_LISTENERS"]))

    assert listeners == protocols == advertised | {environment["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert environment["KAFKA_INTER_BROKER_LISTENER_NAME"] in advertised
    assert environment["KAFKA_ADVERTISED_LISTENERS"].endswith(services["kafka"]["ports"][0].rsplit(":", 1)[0])


def test_mlflow_and_its_web_server_take_the_options_of_the_command(services: Services) -> None:
    from mlflow.cli import cli
    from uvicorn.main import main as uvicorn

    program, server, *options = services["mlflow"]["command"]
    taken = cli.commands[server].make_context(server, options).params
    passed_on = uvicorn.make_context("uvicorn", ["app:app", *shlex.split(taken["uvicorn_opts"])]).params

    assert (program, taken["port"]) == ("mlflow", 5000)
    assert passed_on["timeout_keep_alive"] == 120
