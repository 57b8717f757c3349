"""A disk that is soon full, and can be made larger."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SMALL_BYTES = 128 * 1024
LARGE_BYTES = 64 * 1024 * 1024


@contextmanager
def small_disk(folder: Path, size: int = SMALL_BYTES) -> Iterator[Callable[[], object]]:
    """Put a small filesystem on a folder, and hand out what makes it a large one.

    Only root may mount one. For other users, no file of this process may become large.

    Args:
        folder: where it is put.
        size: its bytes.
    """
    if _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)):
        try:
            yield lambda: _mount("-o", f"remount,size={LARGE_BYTES}", str(folder))
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0
