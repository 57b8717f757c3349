"""What can go wrong between any two effects of a move: the process is killed, or nobody answers.

``ON_DISK`` and ``TOLD`` are all that a move changes, here and in other programs; ``ASKED`` changes nothing.
"""

from __future__ import annotations

import pkgutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Literal

import pytest

from ml.errors import Unavailable

ON_DISK = (
    "ml.release.versions.write_atomically",
    "ml.release.chain.Chain.append",
    "ml.release.chain.sync",
    "ml.release.chain.write_atomically",
    "ml.release.known_answers.write_atomically",
    "ml.release.model_config.write_atomically",
    "ml.release.staging.sync_tree",
    "ml.release.staging.sync",
    "ml.release.publication.unstage",
    "ml.release.watch.concerns.write_atomically",
    "ml.release.old_versions.unstage",
    "ml.release.router.write_atomically",
    "ml.store.sync_tree",
)
TOLD = (
    "ml.release.rpc.RpcServer.reload",
    "mlflow.MlflowClient.set_model_version_tag",
    "mlflow.MlflowClient.set_registered_model_tag",
    "mlflow.MlflowClient.set_registered_model_alias",
    "mlflow.MlflowClient.delete_registered_model_alias",
    "mlflow.MlflowClient.set_tag",
)
ASKED = (
    "ml.release.rest.RestServer.labelled_version",
    "ml.release.rest.RestServer.is_available",
    "ml.release.rest.RestServer.predict",
    "ml.release.rest.RestServer.states",
    "ml.release.rpc.RpcServer.predict",
    "mlflow.MlflowClient.search_model_versions",
)
EFFECTS = (*ON_DISK, *TOLD)

Moment = Literal["before", "after"]


class Killed(BaseException):
    """As SIGKILL does: no ``except Exception`` sees it, and the locks fall."""


@dataclass(frozen=True)
class Mishap:
    """Something that happens at one moment of a step.

    Attributes:
        kind: the process is killed; or a request or its answer is lost.
        at: how many moments at which it could happen pass by first.
        effect: it happens at this one only; at any if empty.
    """

    kind: Literal["killed", "lost"]
    at: int
    effect: str = ""


@dataclass
class Fate:
    """Lets mishaps happen, and counts where they did.

    Attributes:
        happened: (kind, moment, effect) → how often.
    """

    happened: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _coming: Mishap | None = None
    _remaining: int = 0

    @contextmanager
    def bringing(self, mishap: Mishap | None) -> Iterator[None]:
        """Let it happen in the block, if the block lasts as long."""
        self._coming, self._remaining = mishap, mishap.at if mishap else 0
        try:
            yield
        finally:
            self._coming = None

    def pass_by(self, moment: Moment, effect: str) -> None:
        """Come to the moment before or after an effect."""
        coming = self._coming
        if coming is None or coming.effect not in ("", effect):
            return
        if coming.kind == "lost" and effect in ON_DISK:
            return
        self._remaining -= 1
        if self._remaining >= 0:
            return
        self._coming = None
        self.happened[coming.kind, moment, effect] += 1
        if coming.kind == "killed":
            raise Killed(f"{moment} {effect}")
        raise Unavailable(f"lost {moment} {effect}")

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand before and after every effect."""
        for effect in (*EFFECTS, *ASKED):
            owner, name = effect.rsplit(".", 1)
            monkeypatch.setattr(pkgutil.resolve_name(owner), name, self._watched(effect))

    def _watched(self, effect: str) -> Any:
        act = pkgutil.resolve_name(effect)

        @wraps(act)
        def act_between(*arguments: Any, **settings: Any) -> Any:
            self.pass_by("before", effect)
            result = act(*arguments, **settings)
            self.pass_by("after", effect)
            return result

        return act_between


@dataclass
class Witness(Fate):
    """Lets nothing happen, and remembers.

    Attributes:
        seen: every effect, in the order in which they came.
    """

    seen: list[str] = field(default_factory=list)

    def pass_by(self, moment: Moment, effect: str) -> None:
        """Come to the moment before or after an effect."""
        if moment == "before":
            self.seen.append(effect)
