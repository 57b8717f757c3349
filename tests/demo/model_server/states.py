"""The state of every version that was ever served: what GetModelStatus answers from."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

import grpc

from tests.demo.model_server.status import StatusError


class State(IntEnum):
    """ModelVersionStatus.State, by its numbers."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionState:
    """The last state of one version.

    Attributes:
        version: its number.
        state: where it is in its life.
        error: why it ended, if its load failed.
        sequence: position of this event among all events of the server.
    """

    version: int
    state: State
    error: StatusError | None
    sequence: int

    @property
    def settled(self) -> bool:
        """Whether loading has come to its result."""
        return self.state in (State.AVAILABLE, State.END)


class StateBoard:
    """Keeps the last state of each version, also of those that ended, and lets callers wait for news."""

    def __init__(self) -> None:
        self._states: dict[str, dict[int, VersionState]] = {}
        self._changed = threading.Condition()
        self._sequence = 0
        self._closed = False

    def publish(self, model: str, version: int, state: State, error: StatusError | None = None) -> None:
        """Record that a version has entered a state."""
        with self._changed:
            self._sequence += 1
            self._states.setdefault(model, {})[version] = VersionState(version, state, error, self._sequence)
            self._changed.notify_all()

    def versions(self, model: str) -> list[VersionState]:
        """The states of all versions of a model, highest first; empty if it was never known."""
        with self._changed:
            return sorted(self._states.get(model, {}).values(), key=lambda each: -each.version)

    def is_available(self, model: str, version: int) -> bool:
        """Whether a version answers requests."""
        with self._changed:
            state = self._states.get(model, {}).get(version)
            return state is not None and state.state is State.AVAILABLE

    @property
    def sequence(self) -> int:
        """The position of the last event."""
        with self._changed:
            return self._sequence

    def wait_until_available(self, models: Collection[str], after: int) -> None:
        """Wait until each model has had a version loaded since the event ``after``.

        Raises:
            StatusError: UNKNOWN if a load failed; CANCELLED if the server stops meanwhile.
        """
        for model in models:
            settled = self._wait_until_settled(model, after)
            if settled.state is not State.AVAILABLE:
                raise StatusError(
                    grpc.StatusCode.UNKNOWN,
                    f"1 model(s) did not become available: {{{{name: {model} version: {settled.version}}} "
                    f"due to error: {settled.error}}}",
                )

    def close(self) -> None:
        """End all waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait_until_settled(self, model: str, after: int) -> VersionState:
        with self._changed:
            while True:
                if self._closed:
                    raise StatusError(grpc.StatusCode.CANCELLED, "The server is stopping.")
                for state in sorted(self._states.get(model, {}).values(), key=lambda each: -each.version):
                    if state.sequence > after and state.settled:
                        return state
                self._changed.wait()
