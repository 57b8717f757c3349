"""Locks between processes, which the kernel frees with their holder, however that dies."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from ml.errors import Misconfigured

# What flock answers where a filesystem has no such locks, or the server that keeps them does not run.
NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def locked(path: Path, seconds: float = -1) -> Iterator[None]:
    """Hold a lock that no other process holds while the block runs.

    There is no other kind to fall back to: a file that stands for a lock would outlive a killed holder.

    Args:
        path: the lock's file.
        seconds: to wait for it; for ever by default.

    Raises:
        Timeout: if another process holds it for as long.
        Misconfigured: if the filesystem has no locks.
    """
    lock = FileLock(path, timeout=seconds, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise Misconfigured(
            f"the filesystem of {path.parent} has no locks (flock: {error.strerror}); expected those that "
            "the kernel frees with their holder, as on a local disk or NFS 4. Put RETRAIN_HOME on such a one."
        ) from error
    try:
        yield
    finally:
        lock.release()
