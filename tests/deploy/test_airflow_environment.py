"""Airflow understands the environment that docker-compose.yaml gives it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from retraining.notifications import NOWHERE

from deploy.airflow.initialise import PASSWORDS_FILE, write_passwords
from ml import connections
from tests.demo.airflow_server import LOADED
from tests.deploy.conftest import REPOSITORY_URL, ROOT, mounts

Services = dict[str, dict[str, Any]]
AIRFLOW = [
    "airflow-init",
    "airflow-api-server",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
]
# With the local executor every task parses its DAG anew in the scheduler's container.
PARSING = ["airflow-scheduler", "airflow-dag-processor"]
# What a rehearsal may not have in common with the users' model server.
APART = ("rest", "grpc", "models_dir", "config_file")
# What the command line reads for each purpose.
VARIABLES: dict[str, tuple[type[connections.Connection], str]] = {
    "mlflow": (connections.MlflowConnection, connections.MLFLOW_VARIABLE),
    "serving": (connections.ServingConnection, connections.SERVING_VARIABLE),
    "canary": (connections.ServingConnection, connections.CANARY_VARIABLE),
    "scratch": (connections.ServingConnection, connections.SCRATCH_VARIABLE),
    "prometheus": (connections.PrometheusConnection, connections.PROMETHEUS_VARIABLE),
}
# Of [core]'s options, those that the scheduler may have in its own section, by their description there.
OVERRIDES = {"AIRFLOW__SCHEDULER__MP_START_METHOD", "AIRFLOW__SCHEDULER__MP_FORKSERVER_PRELOAD"}


@pytest.fixture(scope="session")
def known_options() -> set[str]:
    """Every option of Airflow's core, as the environment variable that sets it."""
    spec = find_spec("airflow")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    file = Path(spec.submodule_search_locations[0]) / "config_templates/config.yml"
    sections = yaml.safe_load(file.read_text())
    return {
        f"AIRFLOW__{section.upper()}__{option.upper()}"
        for section, content in sections.items()
        for option in content["options"]
    } | OVERRIDES


def look(variables: dict[str, Any], home: Path) -> dict[str, Any]:
    """What Airflow sees, in a process of its own: an environment is read once, at import."""
    passwords = home / "passwords.json"
    write_passwords(passwords, {"admin": "correct horse"})
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment = {
        **inherited,
        **{name: str(value) for name, value in variables.items()},
        PASSWORDS_FILE: str(passwords),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}",
    }
    command = [sys.executable, str(Path(__file__).with_name("airflow_view.py"))]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def view(services: Services, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return look(services["airflow-scheduler"]["environment"], tmp_path_factory.mktemp("airflow"))


def test_every_option_that_is_set_exists_in_airflow(
    services: Services, git_bundle_services: Services, known_options: set[str]
) -> None:
    names = {
        name
        for service in [*services.values(), *git_bundle_services.values()]
        for name in service.get("environment", {})
        if name.startswith("AIRFLOW__")
    }

    assert len(names) > 10
    assert names <= known_options


def test_all_parts_of_airflow_agree(services: Services) -> None:
    environments = [
        {name: value for name, value in services[part]["environment"].items() if name.startswith("AIRFLOW_")}
        for part in AIRFLOW
    ]
    environments[0].pop("AIRFLOW_ADMIN_PASSWORD")

    assert all(environment == environments[-1] for environment in environments)


@pytest.mark.parametrize("service", PARSING)
def test_whoever_parses_a_dag_reads_the_code_and_the_store_that_the_form_of_going_back_lists(
    services: Services, service: str
) -> None:
    mounted = mounts(services[service])

    assert mounted[services[service]["environment"]["RETRAIN_HOME"]][0] == "retraining"
    assert mounted["/opt/retraining"] == (".", "ro")
    assert "airflow-logs" in {source for source, _ in mounted.values()}


def test_the_git_bundle_is_given_to_all_parts(git_bundle_services: Services) -> None:
    assert set(git_bundle_services) == set(AIRFLOW)
    assert len({json.dumps(service) for service in git_bundle_services.values()}) == 1


def test_the_bundle_is_the_mounted_repository(view: dict[str, Any]) -> None:
    assert view["bundle"] == {"type": "LocalDagBundle", "name": "retraining", "interval": 60}


def test_the_git_bundle_keeps_the_name_under_which_runs_are_known(
    services: Services, git_bundle_services: Services, tmp_path: Path
) -> None:
    variables = {
        **services["airflow-scheduler"]["environment"],
        **git_bundle_services["airflow-scheduler"]["environment"],
    }

    view = look(variables, tmp_path)

    assert view["bundle"] == {"type": "GitDagBundle", "name": "retraining", "interval": 60}
    assert view["repository"] == REPOSITORY_URL


def test_both_of_airflows_drivers_reach_its_own_database(
    view: dict[str, Any], environment: dict[str, str]
) -> None:
    password = environment["AIRFLOW_DATABASE_PASSWORD"]

    reached = [address.split("://")[1] for address in view["databases"]]

    assert reached == [f"airflow:{password}@postgres/airflow"] * 2


def test_the_steps_find_a_broker_that_advertises_the_same_address(
    view: dict[str, Any], services: Services
) -> None:
    address = view["kafka"]["bootstrap.servers"]

    assert f"INTERNAL://{address}," in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]


def test_the_steps_find_mlflow_under_a_name_that_it_answers_to(
    view: dict[str, Any], services: Services
) -> None:
    allowed = services["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")

    assert view["mlflow"]["uri"].removeprefix("http://") in allowed


def test_the_steps_and_the_model_server_mean_the_same_files(view: dict[str, Any], services: Services) -> None:
    serving = view["serving"]

    assert f"--model_config_file={serving['config_file']}" in services["tensorflow-serving"]["command"]
    assert serving["models_dir"] == serving["server_models_dir"] == "/models"
    assert serving["rest"] == "http://tensorflow-serving:8501"
    assert serving["grpc"] == "tensorflow-serving:8500"


def test_the_rehearsal_finds_a_server_that_shares_nothing_with_the_users(
    view: dict[str, Any], services: Services
) -> None:
    serving, scratch = view["serving"], view["scratch"]

    assert (
        f"--model_config_file={scratch['config_file']}" in services["tensorflow-serving-scratch"]["command"]
    )
    assert scratch["rest"] == "http://tensorflow-serving-scratch:8501"
    assert scratch["grpc"] == "tensorflow-serving-scratch:8500"
    assert mounts(services["airflow-scheduler"])[scratch["models_dir"]] == ("scratch", "rw")
    assert mounts(services["tensorflow-serving-scratch"])[scratch["server_models_dir"]] == ("scratch", "ro")
    assert not {scratch[name] for name in APART} & {serving[name] for name in APART}


def test_the_command_line_and_the_tasks_mean_the_same_servers(
    view: dict[str, Any], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in services["airflow-scheduler"]["environment"].items():
        if variable.startswith("RETRAIN_"):
            monkeypatch.setenv(variable, value)

    assert connections.KafkaConnection.from_variable(connections.KAFKA_VARIABLE).plain() == view["kafka"]
    for purpose, (kind, variable) in VARIABLES.items():
        assert kind.from_variable(variable).model_dump(mode="json") == view[purpose]


def test_messages_go_where_alerts_go_once_a_person_has_said_where(
    view: dict[str, Any], environment: dict[str, str]
) -> None:
    assert view["slack"] == environment["SLACK_WEBHOOK_URL"]
    assert str(urlsplit(view["slack"]).hostname).endswith(NOWHERE)


def test_the_only_user_is_the_admin_whose_password_was_set(view: dict[str, Any]) -> None:
    assert view["users"] == [["admin", "admin"]]
    assert view["passwords"] == {"admin": "correct horse"}


def test_tasks_are_forked_from_libraries_and_from_nothing_that_a_commit_changes(services: Services) -> None:
    environment = services["airflow-scheduler"]["environment"]
    preloaded = environment["AIRFLOW__SCHEDULER__MP_FORKSERVER_PRELOAD"].split(",")
    ours = {path.name for path in ROOT.iterdir()} | {path.name for path in (ROOT / "plugins").iterdir()}

    assert tuple(preloaded) == LOADED
    assert not ours & {name.partition(".")[0] for name in preloaded}
