"""What random histories of a pipeline are made of: runs, their luck, and the world that they share."""

from __future__ import annotations

import os
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import strategies as st

from ml.artifact import Artifact
from ml.connections import MlflowConnection
from tests.integration.canaries import CanaryPlace
from tests.integration.publishing import Place, save_models
from tests.ml.release.mishaps import Fate, Mishap
from tests.ml.release.serving_at_once import ServerAtOnce, load_once, serving_at_once

DAYS = 28
SHARED = ("examples", "statistics", "training_window", "model")
MOMENTS = 48


@dataclass(frozen=True)
class Finding:
    """What a run will find out.

    Attributes:
        content: which SavedModel it trains.
        verdict: what the gate says of it.
    """

    content: str
    verdict: str


@dataclass(frozen=True)
class Luck:
    """What else happens to a run.

    Attributes:
        restart: whether the model server restarts before it.
        resolving: what happens to its first step.
        queued: whether its push is left for later.
        pushing: what happens to its push.
    """

    restart: bool
    resolving: Mishap | None
    queued: bool
    pushing: Mishap | None


CALM = Luck(restart=False, resolving=None, queued=False, pushing=None)
QUEUED = replace(CALM, queued=True)


def rarely(one_in: int) -> st.SearchStrategy[bool]:
    return st.integers(1, one_in).map(lambda number: number == one_in)


mishap = st.builds(Mishap, st.sampled_from(["killed", "lost"]), st.integers(0, MOMENTS))
mishaps = rarely(2).flatmap(lambda happens: mishap if happens else st.none())
findings = st.builds(
    Finding,
    st.sampled_from(["good", "good", "good", "better", "fickle"]),
    st.sampled_from(["PASS", "PASS", "PASS", "PASS", "FAIL"]),
)
luck = st.builds(
    Luck, rarely(8), rarely(4).flatmap(lambda happens: mishap if happens else st.none()), rarely(3), mishaps
)


@dataclass
class World:
    """What all histories share, and the count of what happened in them."""

    home: Path
    server: ServerAtOnce
    canary: ServerAtOnce
    mlflow: MlflowConnection
    saved_models: Path
    fate: Fate
    counts: Counter[str] = field(default_factory=Counter)
    models: dict[tuple[int, str], Artifact] = field(default_factory=dict)

    def new_place(self, tracks: str = "none") -> Place:
        """A store of its own, but for what is written once and is the same in every history.

        Args:
            tracks: the servers of the two tracks, ``one`` or ``two``; ``none`` without a canary.
        """
        number = self.counts["histories"]
        home, model, serving = (
            self.home / f"store-{number}-{tracks}",
            f"model_{number}",
            self.server.connection,
        )
        place = (
            Place(home, model, serving, self.mlflow, self.saved_models)
            if tracks == "none"
            else CanaryPlace(
                *(home, model, serving, self.mlflow, self.saved_models),
                canary=self.canary.connection if tracks == "two" else None,
            )
        )
        own = place.store.root / "clicks"
        own.mkdir(parents=True)
        for kind in SHARED:
            shared = self.home / "shared" / kind
            shared.mkdir(parents=True, exist_ok=True)
            (own / kind).symlink_to(shared)
        return place

    def account(self) -> str:
        """What happened in all histories."""
        counts = Counter(self.counts)
        histories, steps = counts.pop("histories"), counts.pop("steps")
        lines = [f"{count:7,d} {what}" for what, count in sorted((counts + self._mishaps()).items())]
        return "\n".join([*lines, f"{steps:,d} steps in {histories:,d} histories"])

    def _mishaps(self) -> Counter[str]:
        return Counter(
            {
                f"{kind} {moment} {effect}": count
                for (kind, moment, effect), count in self.fate.happened.items()
            }
        )

    def train(self, place: Place, day: int, content: str) -> Artifact:
        """Once for all histories."""
        if (day, content) not in self.models:
            self.models[day, content] = place.train(day, content)
        return self.models[day, content]


@dataclass(frozen=True)
class Run:
    """A run that has come to its verdict.

    Attributes:
        day: of November.
        content: which SavedModel it trained.
        verdict: the gate's.
        judged_against: the version that it was compared with.
        prepared: what the push needs.
    """

    day: int
    content: str
    verdict: str
    judged_against: int | None
    prepared: dict[str, Artifact]

    @property
    def digest(self) -> str:
        """Of the model."""
        return self.prepared["model"]["digest"]

    @property
    def key(self) -> str:
        """The same for runs that push the same on the same grounds."""
        return self.prepared["blessing"]["digest"]


@contextmanager
def opened_world(home: Path) -> Iterator[World]:
    """Keep both model servers running in the block, and watch every effect of a move."""
    for models in ("models", "canary_models"):
        (home / models).mkdir()
    save_models(home / "saved_models")
    fate = Fate()
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        serving_at_once(home / "models") as server,
        serving_at_once(home / "canary_models") as canary,
    ):
        fate.watch(monkeypatch)
        # Neither matters here: a killed process leaves nothing unwritten, and nobody uses TLS.
        monkeypatch.setattr(os, "fsync", lambda _: None)
        monkeypatch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        monkeypatch.setattr(tf.saved_model, "load", load_once(tf.saved_model.load))
        mlflow = MlflowConnection(uri=f"sqlite:///{home}/mlflow.db")
        yield World(home, server, canary, mlflow, home / "saved_models", fate)
