"""Whether requirements.txt is still what requirements.in compiles to, with the versions that it pins."""

from __future__ import annotations

import difflib
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = ("--quiet", "--python-version", "3.11", "--no-emit-index-url", "--no-header")


def main() -> None:
    """Compile beside the lock, keeping its versions, and compare."""
    lock = (ROOT / "requirements.txt").read_text()
    with tempfile.TemporaryDirectory() as directory:
        again = Path(directory) / "requirements.txt"
        again.write_text(lock)
        uv, python = ROOT / ".venv" / "bin" / "uv", ROOT / ".venv" / "bin" / "python"
        asked = ["--python", python, "requirements.in", "--output-file", again]
        command = [uv, "pip", "compile", *OPTIONS, *asked]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        difference = list(
            difflib.unified_diff(lock.splitlines(), again.read_text().splitlines(), lineterm="", n=0)
        )
    if difference:
        print(*difference[:40], sep="\n")
        sys.exit("requirements.txt is not what requirements.in compiles to: run `make lock` and commit it.")


if __name__ == "__main__":
    main()
