"""The generated .env: private, complete, never overwritten."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from deploy.make_env import NO_WEBHOOK, VARIABLES, main, make_env


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def read(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines() if not line.startswith("#"))


def test_only_its_owner_can_read_it(file: Path) -> None:
    make_env(file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_that_others_could_read_is_closed(file: Path) -> None:
    make_env(file)
    file.chmod(0o644)

    make_env(file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_running_it_again_changes_nothing(file: Path) -> None:
    assert make_env(file) == list(VARIABLES)
    before = file.read_bytes()

    assert make_env(file) == []
    assert file.read_bytes() == before


def test_what_a_person_wrote_is_kept_and_only_the_rest_is_added(file: Path) -> None:
    file.write_text("# ours\nMLFLOW_PORT=5001\nRETRAIN_GIT_REF=release")

    added = make_env(file)

    assert "MLFLOW_PORT" not in added
    assert read(file)["MLFLOW_PORT"] == "5001"
    assert file.read_text().startswith("# ours\nMLFLOW_PORT=5001\nRETRAIN_GIT_REF=release\n")
    assert VARIABLES.keys() <= read(file).keys()


def test_a_variable_without_a_value_is_an_error_that_names_it(file: Path) -> None:
    file.write_text("POSTGRES_PASSWORD=\n")

    with pytest.raises(ValueError, match="POSTGRES_PASSWORD has no value"):
        make_env(file)

    assert file.read_text() == "POSTGRES_PASSWORD=\n"


def test_no_two_machines_and_no_two_purposes_share_a_secret(tmp_path: Path) -> None:
    make_env(tmp_path / "one")
    make_env(tmp_path / "other")

    values = [*read(tmp_path / "one").values(), *read(tmp_path / "other").values()]
    generated = [value for value in values if not value.isdigit() and "://" not in value]

    assert len(generated) == 16
    assert len(set(generated)) == len(generated)
    assert min(map(len, generated)) >= 32


def test_it_says_where_messages_go_until_there_is_a_webhook(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("deploy.make_env.REPOSITORY", file.parent)

    assert main() == 0
    assert "Messages go to the tasks' logs" in capsys.readouterr().out

    file.write_text(file.read_text().replace(NO_WEBHOOK, "https://hooks.slack.com/services/T0/B0/x"))
    assert main() == 0
    assert "Messages go" not in capsys.readouterr().out


def test_values_need_no_quoting_in_a_shell_or_in_yaml(file: Path) -> None:
    make_env(file)

    assert all(re.fullmatch(r"[A-Za-z0-9_\-]+=?|https://[a-z./-]+", value) for value in read(file).values())


def test_airflow_can_encrypt_with_the_fernet_key(file: Path) -> None:
    make_env(file)
    fernet = Fernet(read(file)["AIRFLOW_FERNET_KEY"])

    assert fernet.decrypt(fernet.encrypt(b"a connection's password")) == b"a connection's password"
