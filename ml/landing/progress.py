"""A line in the log every few seconds while much is read."""

from __future__ import annotations

import logging
import time

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Counts records on the way to an expected number of them."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._done = 0
        self._started = self._said = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started

    @property
    def rate(self) -> float:
        """Records a second."""
        return self._done / max(self.seconds, 1e-9)

    def advance(self, records: int) -> None:
        """Count records, and say so if nothing was said for a while."""
        self._done += records
        if time.monotonic() - self._said < SECONDS_BETWEEN_LINES:
            return
        self._said = time.monotonic()
        remaining = max(self._expected - self._done, 0)
        log.info(
            "read %d of about %d records, %.0f records/s, about %.0f s to go",
            self._done, self._expected, self.rate, remaining / self.rate,
        )  # fmt: skip
