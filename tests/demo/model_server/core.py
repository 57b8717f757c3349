"""The heart of the server: the config in force, its labels, and who answers which request."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self

from tests.demo.model_server.config import check_models
from tests.demo.model_server.lifecycle import Lifecycle, Retries, ServableT
from tests.demo.model_server.source import VersionSource
from tests.demo.model_server.states import StateBoard, VersionState
from tests.demo.model_server.status import failed_precondition, invalid_argument, not_found

log = logging.getLogger(__name__)

Labels = dict[str, dict[str, int]]


@dataclass(frozen=True)
class CoreOptions:
    """TensorFlow Serving's flags of the same names, with its defaults.

    Attributes:
        file_system_poll_wait_seconds: between two looks for new versions.
        max_num_load_retries: tries after a load that failed.
        load_retry_interval_micros: pause before each.
        allow_version_labels_for_unavailable_models: whether a label that is not in use yet may be put on a
            version that is not available.
    """

    file_system_poll_wait_seconds: float = 1.0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    allow_version_labels_for_unavailable_models: bool = False

    @property
    def retries(self) -> Retries:
        """For :class:`Lifecycle`."""
        return Retries(self.max_num_load_retries, max(self.load_retry_interval_micros, 0) / 1e6)


class ServerCore(Generic[ServableT]):
    """Serves what the last accepted config says. To be used in a ``with`` block.

    Args:
        load: makes a servable of a version's directory.
        options: see :class:`CoreOptions`.
    """

    def __init__(self, load: Callable[[Path], ServableT], options: CoreOptions) -> None:
        self._options = options
        self._board = StateBoard()
        self._lifecycle = Lifecycle(self._board, load, options.retries)
        self._source = VersionSource(self._lifecycle.aspire, options.file_system_poll_wait_seconds)
        self._reload_lock = threading.Lock()
        self._is_serving = False
        self._labels: Labels = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._board.close()
        self._source.stop()
        self._lifecycle.stop()

    def reload(self, config: Any) -> None:
        """Serve what a ModelServerConfig says, and nothing else.

        Waits until each model whose *name* is new has a version available; new versions of known models load
        later. Labels are assigned first, so a label on a version that is not available yet refuses the whole
        config.

        Raises:
            StatusError: FAILED_PRECONDITION for a label; INVALID_ARGUMENT for a config that makes no sense;
                UNKNOWN if a new model did not load, in which case the config stays in force.
        """
        with self._reload_lock:
            if config.WhichOneof("config") is None and not self._is_serving:
                log.info("Taking no action for empty config.")
                return
            if config.WhichOneof("config") != "model_config_list":
                raise failed_precondition("Only a ModelConfigList can be served.")
            models = config.model_config_list.config
            check_models(models)
            self._labels = self._assigned_labels(models)
            self._serve(models)

    def find(self, spec: Any) -> tuple[int, ServableT]:
        """The version that a ModelSpec asks for, with its servable.

        Raises:
            StatusError: NOT_FOUND; INVALID_ARGUMENT for a missing name or an unknown label.
        """
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version":
            return self._lifecycle.find(spec.name, spec.version.value)
        if choice == "version_label":
            return self._lifecycle.find(spec.name, self._labelled(spec.name, spec.version_label))
        return self._lifecycle.find(spec.name)

    def states(self, spec: Any) -> list[VersionState]:
        """The states of the version asked for, or of all, highest first. A label in the ModelSpec is ignored.

        Raises:
            StatusError: NOT_FOUND.
        """
        states = self._board.versions(spec.name)
        if spec.WhichOneof("version_choice") == "version":
            wanted = spec.version.value
            states = [state for state in states if state.version == wanted]
            if not states:
                raise not_found(f"Could not find version {wanted} of model {spec.name}")
        if not states:
            raise not_found(f"Could not find any versions of model {spec.name}")
        return states

    def _serve(self, models: Sequence[Any]) -> None:
        new = [model.name for model in models if model.name not in self._source.models]
        before = self._board.sequence
        self._source.configure(models)
        if not self._is_serving:
            self._is_serving = True
            self._lifecycle.start()
            self._source.start()
        self._board.wait_until_available(new, after=before)

    def _assigned_labels(self, models: Sequence[Any]) -> Labels:
        labels: Labels = {}
        for model in models:
            for label, version in model.version_labels.items():
                if not self._may_label(model.name, label, version):
                    raise failed_precondition(
                        f"Request to assign label to version {version} of model {model.name}, "
                        "which is not currently available for inference"
                    )
                labels.setdefault(model.name, {})[label] = version
        return labels

    def _may_label(self, model: str, label: str, version: int) -> bool:
        if self._board.is_available(model, version):
            return True
        if not self._options.allow_version_labels_for_unavailable_models:
            return False
        return self._labels.get(model, {}).get(label, version) == version

    def _labelled(self, model: str, label: str) -> int:
        try:
            return self._labels[model][label]
        except KeyError:
            raise invalid_argument(f"Unrecognized servable version label: {label}") from None
