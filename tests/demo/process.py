"""Child processes of the demo and the tests: each with its own log, and none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

POLL_SECONDS = 0.05
TAIL_LINES = 20
TAIL_BYTES = 16_384


class ProcessFailed(RuntimeError):
    """A child process ended, or did not become ready in time. The message ends with its last lines."""


class ManagedProcess:
    """A child process that runs inside a ``with`` block.

    Leaving the block ends it: SIGTERM first, and SIGKILL for what is left of its process group. If this
    process is killed, the kernel sends the child SIGTERM (PR_SET_PDEATHSIG). It has a session of its own, so
    that Ctrl-C in the terminal reaches only the parent, which can then stop its children in order.

    Args:
        name: what people call it; used in messages.
        argv: the command; the program is looked up on PATH.
        log: the file that its output is appended to. Missing directories are made.
        env: variables added to this process's environment.
        cwd: the working directory, by default this process's.

    Attributes:
        name: see above.
        log: see above.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._argv = [str(part) for part in argv]
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._popen: subprocess.Popen[bytes] | None = None
        self._is_asked = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process; a stopped one may be started again.

        Raises:
            RuntimeError: if it is running already, or outside the main thread: the kernel's "parent death"
                is the death of the thread that started the child.
        """
        if self.running:
            raise RuntimeError(f"{self.name} is running already (process {self.pid})")
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(f"{self.name} must be started from the main thread: it ends with its thread")
        self._is_asked = False
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--", *self._argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )

    def ask_to_end(self) -> None:
        """Send SIGTERM once and do not wait: `stop` does. Several that are asked at once end side by side."""
        if self.running and not self._is_asked:
            self._started.terminate()
            self._is_asked = True

    def stop(self, grace_seconds: float = 10.0) -> None:
        """End the process and its process group. Does nothing if it was never started."""
        if self._popen is None:
            return
        self.ask_to_end()
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(grace_seconds)
        self.kill()

    def kill(self) -> None:
        """End the process and its process group at once, as a crash would."""
        with suppress(ProcessLookupError):
            os.killpg(self._started.pid, signal.SIGKILL)
        self._started.wait()

    def wait(self, timeout: float) -> int:
        """Wait for the end of the process and return its exit code.

        Raises:
            ProcessFailed: if it still runs after ``timeout`` seconds.
        """
        if not self._ends_within(timeout):
            raise self._failure(f"still runs after {timeout:g} s, expected it to end")
        return int(self._started.returncode)

    def wait_until(
        self,
        ready: Callable[[], object],
        timeout: float,
        goal: str = "ready",
        pause: float = POLL_SECONDS,
    ) -> None:
        """Wait until ``ready`` returns something true, asking at short intervals.

        Args:
            ready: must return soon; false or an exception of its own if the wait is to go on or fail.
            timeout: seconds.
            goal: what is waited for, as the message names it.
            pause: seconds from one question to the next.

        Raises:
            ProcessFailed: as soon as the process has ended, or after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            if self._ends_within(pause):
                raise self._failure(f"ended with exit code {self._started.returncode} before it was {goal}")
            if time.monotonic() > deadline:
                raise self._failure(f"was not {goal} within {timeout:g} s")

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the log."""
        with self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._started.pid

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise RuntimeError(f"{self.name} has not been started: use it in a 'with' block")
        return self._popen

    def _ends_within(self, seconds: float) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self._started.wait(seconds)
        return not self.running

    def _failure(self, what: str) -> ProcessFailed:
        return ProcessFailed(f"{self.name} {what}; its log {self.log} ends in:\n{self.tail()}")
