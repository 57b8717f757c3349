"""Small stores with a history: artifacts of nights, their ages, and what refers to what."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path

from ml.artifact import Artifact, Window
from ml.config import Housekeeping, Pipeline, Snapshots
from ml.housekeeping.holdings import Holding
from ml.manifest import SCHEME, Identity
from ml.store import Draft, Store
from tests.ml.small_pipeline import small_pipeline

NOW = datetime.now(timezone.utc) + timedelta(days=400)
NIGHT = (
    "offsets",
    "examples",
    "statistics",
    "anomalies",
    "training_window",
    "model",
    "evaluation",
    "blessing",
)


def small_house(folder: Path) -> Pipeline:
    """A pipeline that keeps landed days for 40 days, models for 20, what-ifs for 10 and snapshots for 30."""
    limits = Housekeeping(examples_days=40, models_days=20, what_if_days=10)
    return small_pipeline(folder).model_copy(
        update={"housekeeping": limits, "snapshots": Snapshots(keep_days=30)}
    )


def make(
    store: Store,
    kind: str,
    days_ago: int,
    inputs: Iterable[Artifact] = (),
    what_if: str = "",
    content: object = None,
    **facts: object,
) -> Artifact:
    """An artifact of the day that ended so many days ago, last used when it ended."""

    def write(draft: Draft) -> None:
        (draft.path / "bytes").write_text("1 2 3")
        if content is not None:
            draft.write_json(content)
        draft.facts.update(facts)

    end = NOW - timedelta(days=days_ago)
    roles: Mapping[str, Artifact] = {f"{number}": one for number, one in enumerate(inputs)}
    variant = {"name": what_if, "code": "a"} if what_if else {}
    window = Window(end - timedelta(days=1), end)
    artifact = store.produce(Identity(kind, "small", window, roles, {}, variant=variant), write)
    use(store, artifact, days_ago)
    return artifact


def use(store: Store, artifact: Artifact, days_ago: float) -> None:
    """Leave the mark of a use so many days ago."""
    moment = (NOW - timedelta(days=days_ago)).timestamp()
    os.utime(path_of(store, artifact), (moment, moment))


def make_night(store: Store, days_ago: int) -> dict[str, Artifact]:
    """A night from its offsets to its verdict, by kind."""
    night: dict[str, Artifact] = {}
    needs = {"statistics": ("examples",), "evaluation": ("model", "training_window")}
    for before, kind in zip((None, *NIGHT), NIGHT, strict=False):
        names = needs.get(kind, (before,) if before else ())
        if kind == "training_window":
            names = ("examples", "statistics", "anomalies")
        night[kind] = make(store, kind, days_ago, [night[name] for name in names])
    return night


def path_of(store: Store, artifact: Artifact) -> Path:
    return store.root / artifact["uri"].removeprefix(SCHEME)


def is_there(store: Store, artifact: Artifact) -> bool:
    return path_of(store, artifact).exists()


def whole() -> AbstractContextManager[bool]:
    """Nothing that is in service moves."""
    return nullcontext(True)


def holding(uri: str, days_ago: float, refers_to: Iterable[str] = ()) -> Holding:
    """A holding without a directory, for what is decided without looking at one."""
    moment = NOW - timedelta(days=days_ago)
    window = Window(moment - timedelta(days=1), moment)
    return Holding(uri, Path(), window, moment, 1, uri, tuple(refers_to))
