"""Make ``.venv`` from the lock. Standard library only: this runs before anything is installed.

Run it with any Python 3; it looks for Python 3.11 itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.txt"
STAMP = VENV / "installed-lock.sha256"
PYTHON = "3.11"
NEEDED_GIB = 6


def main() -> None:
    """Install what the lock says, unless it is installed already."""
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    python = find_python()
    check_space()
    check_compiler(python)
    if not (VENV / "bin" / "python").exists():
        run(python, "-m", "venv", str(VENV))
    if not (VENV / "bin" / "uv").exists():
        run(str(VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", pinned_uv())
    print("Installing the locked packages (about 4 GB on disk, compiled for fast imports) ...", flush=True)
    install_locked()
    STAMP.write_text(wanted)


def install_locked() -> None:
    """Make ``.venv`` hold what the lock says and nothing else, whichever other one the shell has active.

    Without being told, uv would take that one, and empty it.
    """
    uv, python = VENV / "bin" / "uv", VENV / "bin" / "python"
    run(str(uv), "pip", "sync", "--quiet", "--compile-bytecode", "--python", str(python), str(LOCK))


def find_python() -> str:
    """The path of a Python 3.11."""
    candidates = [os.environ.get("PYTHON"), sys.executable, f"python{PYTHON}", "python3"]
    for candidate in filter(None, candidates):
        path = shutil.which(candidate)
        if path and version_of(path) == PYTHON:
            return path
    found = f"{sys.version_info.major}.{sys.version_info.minor} at {sys.executable}"
    sys.exit(
        f"Python {PYTHON} was not found (this is {found}). TensorFlow 2.16 with TFDV 1.16 has packages for "
        f"Python {PYTHON} only. On Debian 12 or Ubuntu: apt install python{PYTHON} python{PYTHON}-venv; "
        f"or set PYTHON=/path/to/python{PYTHON}."
    )


def version_of(python: str) -> str:
    """Major and minor version of an interpreter, or an empty string if it does not start."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return answer.stdout.strip()


def check_space() -> None:
    """Stop before a half-finished installation fills the disk."""
    free = shutil.disk_usage(ROOT).free / 2**30
    if free < NEEDED_GIB:
        sys.exit(
            f"{ROOT} has {free:.1f} GiB free; the packages and a demo need {NEEDED_GIB} GiB. Make room first."
        )


def check_compiler(python: str) -> None:
    """Stop before the one package that has no wheel (pyfarmhash, for TFDV) fails to compile."""
    code = "import sysconfig, os; print(os.path.join(sysconfig.get_paths()['include'], 'Python.h'))"
    header = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    missing = [] if shutil.which("g++") else ["g++"]
    missing += [] if Path(header).exists() else [f"python{PYTHON}-dev"]
    if missing:
        sys.exit(
            f"{' and '.join(missing)} is missing; TFDV needs a package that is compiled on installation. "
            f"On Debian 12 or Ubuntu: apt install {' '.join(missing)}."
        )


def pinned_uv() -> str:
    """The installer, in the version that the lock names."""
    found = re.search(r"^uv==\S+", LOCK.read_text(), re.MULTILINE)
    if not found:
        sys.exit(f"{LOCK} does not pin uv; expected a line 'uv==…'. Make the lock again: make lock.")
    return found.group()


def run(*command: str) -> None:
    """Run a command and stop with its exit code if it fails."""
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        sys.exit(
            f"`{' '.join(command)}` failed with exit code {code}; its output is above. Nothing else was done."
        )


if __name__ == "__main__":
    main()
