"""Watches the base paths of the models, by the rules of TensorFlow Serving's file system source."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

VERSION = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
INT64 = range(-(2**63), 2**63)

ModelConfig = Any  # tensorflow_serving's protos carry no types
Aspire = Callable[[str, Mapping[int, Path]], None]


def versions_below(base_path: Path) -> dict[int, Path]:
    """The children of a base path whose names are int64 numbers; whatever else lies there is invisible.

    Raises:
        OSError: if the base path is missing or cannot be read.
    """
    named = {child.name: child for child in sorted(base_path.iterdir()) if VERSION.fullmatch(child.name)}
    return {int(name): child for name, child in named.items() if int(name) in INT64}


def chosen_versions(config: ModelConfig) -> dict[int, Path]:
    """The versions on disk that a model's version policy picks; without a policy, the highest.

    Raises:
        OSError: see :func:`versions_below`.
    """
    found = versions_below(Path(config.base_path))
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return found
    if kind == "specific":
        return {version: path for version, path in found.items() if version in policy.specific.versions}
    highest = sorted(found, reverse=True)[: max(policy.latest.num_versions, 1)]
    return {version: found[version] for version in highest}


class VersionSource:
    """Tells, at intervals, which versions are wanted.

    Args:
        aspire: told the versions of each model.
        interval_seconds: between two looks; zero looks once only, at the start.
    """

    def __init__(self, aspire: Aspire, interval_seconds: float) -> None:
        self._aspire = aspire
        self._interval_seconds = interval_seconds
        self._lock = threading.Lock()
        self._models: dict[str, ModelConfig] = {}
        self._stopping = threading.Event()
        self._complaint = ""
        self._thread = threading.Thread(target=self._run, name="version-source", daemon=True)

    def start(self) -> None:
        """Look for the first time, and again at intervals."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def models(self) -> set[str]:
        """The names of the models that are watched."""
        with self._lock:
            return set(self._models)

    def configure(self, models: Sequence[ModelConfig]) -> None:
        """Watch these models from now on. Those left out are given up at once."""
        with self._lock:
            given_up = self._models.keys() - {model.name for model in models}
            self._models = {model.name: model for model in models}
            for name in given_up:
                self._aspire(name, {})

    def poll(self) -> None:
        """Look once. If any base path cannot be read, nothing changes for any model."""
        with self._lock:
            try:
                chosen = {name: chosen_versions(config) for name, config in self._models.items()}
            except OSError as error:
                self._complain(f"A base path cannot be read, so nothing is loaded or unloaded: {error}")
                return
            empty = sorted(name for name, versions in chosen.items() if not versions)
            self._complain(f"No version to serve below the base path of: {', '.join(empty)}" if empty else "")
            for name, versions in chosen.items():
                self._aspire(name, versions)

    def _run(self) -> None:
        self.poll()
        while self._interval_seconds > 0 and not self._stopping.wait(self._interval_seconds):
            self.poll()

    def _complain(self, complaint: str) -> None:
        if complaint and complaint != self._complaint:
            log.warning(complaint)
        self._complaint = complaint
