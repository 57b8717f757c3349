"""Writing files so that a crash leaves the old content or the new, never a part."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync(path.parent)


@contextmanager
def deleted_if_full(directory: Path) -> Iterator[None]:
    """Delete what is being written if its disk turns out too small: whatever goes on there needs the room.

    Raises:
        OSError: saying so, if the disk, a quota or a limit of this process leaves no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        shutil.rmtree(directory, ignore_errors=True)
        raise OSError(
            error.errno,
            f"{os.strerror(error.errno)}: there was no room for all of {directory}; expected it to fit. What "
            "was half written is deleted, and nobody has read it. Make room there, and try again",
        ) from error


def sync_tree(path: Path) -> None:
    """Put a directory and all below it on disk."""
    for directory, _, names in os.walk(path):
        for name in names:
            sync(Path(directory) / name)
        sync(Path(directory))


def sync(path: Path) -> None:
    """Put one file, or the entries of one directory, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
