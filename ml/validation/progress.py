"""Saying how far a long pass over examples is."""

from __future__ import annotations

import logging
import time

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Logs rows done, rate and remaining time, at most a line every few seconds.

    Args:
        log: where the lines go.
        verb: what is being done, for example ``described``.
        total: all rows.
    """

    def __init__(self, log: logging.Logger, verb: str, total: int) -> None:
        self._log, self._verb, self._total = log, verb, total
        self._done = 0
        self._started = self._spoke = time.monotonic()

    def add(self, rows: int) -> None:
        """Note that some more rows are done."""
        self._done += rows
        now = time.monotonic()
        if now - self._spoke < SECONDS_BETWEEN_LINES:
            return
        self._spoke = now
        rate = self._done / (now - self._started)
        left = (self._total - self._done) / rate
        self._log.info(
            "%s %s of %s rows, %s a second, about %.0f s left",
            self._verb,
            f"{self._done:,}",
            f"{self._total:,}",
            f"{rate:,.0f}",
            left,
        )

    def finish(self) -> None:
        """Say what it came to."""
        seconds = max(time.monotonic() - self._started, 1e-3)
        rate = f"{self._done / seconds:,.0f}"
        self._log.info("%s %s rows in %.1f s, %s a second", self._verb, f"{self._done:,}", seconds, rate)
