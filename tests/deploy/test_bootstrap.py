"""What `make install` does to the virtual environments around it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deploy import bootstrap


def make_wheel(folder: Path, name: str) -> Path:
    """A package of one empty module."""
    wheel, info = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    content = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as packed:
        for path, text in {**content, f"{info}/RECORD": record}.items():
            packed.writestr(path, text)
    return wheel


def make_venv(folder: Path) -> Path:
    """A virtual environment with uv and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (folder / "bin" / "uv").symlink_to(Path(sys.executable).parent / "uv")
    return folder


def installed(venv: Path) -> list[str]:
    return [path.name for path in venv.glob("lib/python*/site-packages/*.dist-info")]


def test_another_environment_that_is_active_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours = make_venv(tmp_path / "theirs"), make_venv(tmp_path / "ours")
    monkeypatch.setenv("VIRTUAL_ENV", str(theirs))
    monkeypatch.setattr(bootstrap, "VENV", theirs)
    monkeypatch.setattr(bootstrap, "LOCK", lock(tmp_path / "theirs.txt", make_wheel(tmp_path, "theirs")))
    bootstrap.install_locked()

    monkeypatch.setattr(bootstrap, "VENV", ours)
    monkeypatch.setattr(bootstrap, "LOCK", lock(tmp_path / "ours.txt", make_wheel(tmp_path, "ours")))
    bootstrap.install_locked()

    assert installed(theirs) == ["theirs-1.0.dist-info"]
    assert installed(ours) == ["ours-1.0.dist-info"]


def lock(file: Path, wheel: Path) -> Path:
    """A lock that names one package, which is beside it: nothing is asked for over the network."""
    file.write_text(f"{wheel.name.split('-')[0]} @ {wheel.as_uri()}\n")
    return file
