"""Which code is running: the git commit of the bundle and whether it was changed since."""

from __future__ import annotations

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


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(BUNDLE_ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        # No git, or no repository: an image or a copied folder. The caller writes "unknown".
        return None
