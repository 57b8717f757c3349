"""Predictions that are slow or fail on purpose, for what has to be found out about a canary.

They strike requests that name a label, as users' do. Golden requests name a number and pass, so that a
version with such a fault gets past its publication.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field

import grpc

from tests.demo.model_server.status import StatusError


@dataclass
class Faults:
    """What goes wrong with predictions.

    Attributes:
        latency_ms: pause before each.
        error_ratio: how many of them fail, evenly spread.
        version: the one whose predictions it happens to; None: every version's.
    """

    latency_ms: float = 0.0
    error_ratio: float = 0.0
    version: int | None = None
    _asked: itertools.count[int] = field(default_factory=itertools.count)
    _pause: threading.Event = field(default_factory=threading.Event)

    def strike(self, version: int) -> None:
        """Let a prediction of this version go wrong.

        Raises:
            StatusError: UNAVAILABLE, if it is this one's turn to fail.
        """
        if self.version not in (None, version):
            return
        if self.latency_ms:
            self._pause.wait(self.latency_ms / 1000)
        number = next(self._asked)
        if int((number + 1) * self.error_ratio) > int(number * self.error_ratio):
            raise StatusError(grpc.StatusCode.UNAVAILABLE, "injected by --inject_error_ratio")
