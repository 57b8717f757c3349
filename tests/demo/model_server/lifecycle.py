"""Loads and unloads versions one at a time, in the order of TF Serving's availability-preserving policy."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from tests.demo.model_server.states import State, StateBoard
from tests.demo.model_server.status import StatusError, not_found

log = logging.getLogger(__name__)

ServableT = TypeVar("ServableT")


class Phase(Enum):
    """What has been done with a version."""

    NEW = auto()
    READY = auto()
    FAILED = auto()
    UNLOADED = auto()


@dataclass
class ManagedVersion:
    """A version that is wanted, or was wanted and is not gone yet."""

    version: int
    path: Path
    is_aspired: bool = True
    phase: Phase = Phase.NEW


class Step(Enum):
    """What may be done next with a version."""

    LOAD = auto()
    UNLOAD = auto()


class Action(NamedTuple):
    """One thing to do, with the version to do it to."""

    step: Step
    managed: ManagedVersion


@dataclass(frozen=True)
class Retries:
    """How often a load that failed is tried again.

    Attributes:
        count: tries after the first.
        interval_seconds: pause before each.
    """

    count: int
    interval_seconds: float


def next_action(versions: Collection[ManagedVersion]) -> Action | None:
    """What to do next for one model, so that it is never without a version that answers.

    A version that is not wanted any more is unloaded only once a wanted one is ready, or if none is wanted.
    """
    aspired = [each for each in versions if each.is_aspired]
    leaving = [each for each in versions if not each.is_aspired and each.phase is Phase.READY]
    has_aspired_ready = any(each.phase is Phase.READY for each in aspired)
    if leaving and (not aspired or has_aspired_ready or len(leaving) > 1):
        return Action(Step.UNLOAD, min(leaving, key=lambda each: each.version))
    new = [each for each in aspired if each.phase is Phase.NEW]
    if new:
        return Action(Step.LOAD, max(new, key=lambda each: each.version))
    return None


class Lifecycle(Generic[ServableT]):
    """Brings what is loaded in line with what is wanted, on a thread of its own.

    Args:
        board: where each change of state is published.
        load: makes a servable of a version's directory, or raises; see :class:`Retries`.
        retries: for loads that fail.
    """

    def __init__(self, board: StateBoard, load: Callable[[Path], ServableT], retries: Retries) -> None:
        self._board = board
        self._load = load
        self._retries = retries
        self._news = threading.Condition()
        self._stopping = False
        self._wanted: dict[str, dict[int, Path]] = {}
        self._managed: dict[str, dict[int, ManagedVersion]] = {}
        self._available: dict[str, dict[int, ServableT]] = {}
        self._thread = threading.Thread(target=self._run, name="lifecycle", daemon=True)

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the action in progress. Loaded versions stay loaded."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def aspire(self, model: str, paths: Mapping[int, Path]) -> None:
        """Say which versions of a model are wanted from now on; none unloads the model."""
        with self._news:
            self._wanted[model] = dict(paths)
            self._news.notify_all()

    def find(self, model: str, version: int | None = None) -> tuple[int, ServableT]:
        """The version asked for, or without one the highest, of those that are available.

        Raises:
            StatusError: NOT_FOUND.
        """
        available = self._available.get(model, {})
        chosen = max(available, default=None) if version is None else version
        if chosen is None or chosen not in available:
            asked = f"Latest({model})" if version is None else f"Specific({model}, {version})"
            raise not_found(f"Servable not found for request: {asked}")
        return chosen, available[chosen]

    def advance(self) -> bool:
        """Do one load or unload if there is one to do, and tell whether there was."""
        with self._news:
            wanted = {model: dict(paths) for model, paths in self._wanted.items()}
        for model, paths in wanted.items():
            versions = self._reconcile(model, paths)
            action = next_action(versions.values())
            if action is not None:
                act = self._load_version if action.step is Step.LOAD else self._unload_version
                act(model, action.managed)
                return True
        return False

    def _run(self) -> None:
        while not self._stopping:
            if not self.advance():
                self._wait_for_news()

    def _wait_for_news(self) -> None:
        with self._news:
            if not self._stopping and not self._has_news():
                self._news.wait()

    def _has_news(self) -> bool:
        return any(
            paths.keys()
            != {each.version for each in self._managed.get(model, {}).values() if each.is_aspired}
            for model, paths in self._wanted.items()
        )

    def _reconcile(self, model: str, paths: Mapping[int, Path]) -> dict[int, ManagedVersion]:
        versions = self._managed.setdefault(model, {})
        for managed in list(versions.values()):
            managed.is_aspired = managed.version in paths
            if not managed.is_aspired and managed.phase is not Phase.READY:
                del versions[managed.version]
                if managed.phase is Phase.NEW:
                    self._board.publish(model, managed.version, State.END)
        for version, path in paths.items():
            if version not in versions:
                versions[version] = ManagedVersion(version, path)
                self._board.publish(model, version, State.START)
        return versions

    def _load_version(self, model: str, managed: ManagedVersion) -> None:
        log.info("Loading version %d of model %s from %s", managed.version, model, managed.path)
        self._board.publish(model, managed.version, State.LOADING)
        try:
            servable = self._load_with_retries(model, managed)
        except StatusError as error:
            log.error("Version %d of model %s did not load: %s", managed.version, model, error)
            managed.phase = Phase.FAILED
            self._board.publish(model, managed.version, State.END, error)
            return
        managed.phase = Phase.READY
        self._available[model] = {**self._available.get(model, {}), managed.version: servable}
        self._board.publish(model, managed.version, State.AVAILABLE)
        log.info("Version %d of model %s is available", managed.version, model)

    def _load_with_retries(self, model: str, managed: ManagedVersion) -> ServableT:
        left = self._retries.count
        while True:
            try:
                return self._load(managed.path)
            except Exception as error:
                if left == 0 or not self._still_wanted_after_pause(model, managed.version):
                    raise StatusError.of(error) from error
                left -= 1
                log.warning("Trying version %d of model %s again after: %s", managed.version, model, error)

    def _still_wanted_after_pause(self, model: str, version: int) -> bool:
        def is_pointless() -> bool:
            return self._stopping or version not in self._wanted[model]

        with self._news:
            return not self._news.wait_for(is_pointless, timeout=self._retries.interval_seconds)

    def _unload_version(self, model: str, managed: ManagedVersion) -> None:
        # Requests in flight hold their servable; its memory goes with the last of them.
        self._board.publish(model, managed.version, State.UNLOADING)
        remaining = dict(self._available[model])
        del remaining[managed.version]
        self._available[model] = remaining
        managed.phase = Phase.UNLOADED
        self._board.publish(model, managed.version, State.END)
        log.info("Version %d of model %s is unloaded", managed.version, model)
