"""Which code is running: the git commit of the bundle and whether it was changed since."""

from __future__ import annotations

import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

BUNDLE_ROOT = Path(__file__).resolve().parent.parent


@cache
def code_version() -> dict[str, Any]:
    """The commit that this code was read from.

    ``RETRAIN_COMMIT`` names it where the code has no git directory, as in a container image.

    Returns:
        ``{"commit": 40 hex digits or None, "dirty": bool or None}``.
    """
    if commit := os.environ.get("RETRAIN_COMMIT"):
        return {"commit": commit, "dirty": False}
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}


@cache
def code_digest() -> str:
    """SHA-256 (hex) over the names and bytes of every source file below ``ml``: what really runs.

    Unlike the commit it tells two states of a changed work tree apart.
    """
    sha = hashlib.sha256()
    for path in sorted((BUNDLE_ROOT / "ml").rglob("*.py")):
        sha.update(f"{path.relative_to(BUNDLE_ROOT)}\n{path.stat().st_size}\n".encode())
        sha.update(path.read_bytes())
    return sha.hexdigest()


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(BUNDLE_ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        # No git, or no repository: an image or a copied folder. The caller writes "unknown".
        return None
