"""A small real world for publications: examples, models that answer at once, and their store."""

from __future__ import annotations

import math
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml import release
from ml.artifact import Artifact, Window
from ml.config import Pipeline
from ml.connections import MlflowConnection, ServingConnection
from ml.errors import Withheld
from ml.manifest import Identity
from ml.pipelines import load_pipeline
from ml.release.ledger import Ledger
from ml.release.rest import RestServer
from ml.store import Draft, Store

ROWS = 300
DIVISORS = {"good": 10, "better": 9, "best": 8, "last": 7}
COLUMN_TYPES = {"string": pa.string(), "int": pa.int64(), "float": pa.float64()}


@dataclass(frozen=True)
class Place:
    """One pipeline's store, model server and MLflow; plain values, so that it reaches other processes.

    Attributes:
        home: of the store.
        model: the served model's name, one for each test.
        saved_models: directories of SavedModels by name.
        name: of the pipeline; its settings are those for clicks.
        time_zone: in which its days begin.
    """

    home: Path
    model: str
    serving: ServingConnection
    mlflow: MlflowConnection
    saved_models: Path
    name: str = field(default="clicks", kw_only=True)
    time_zone: str = field(default="UTC", kw_only=True)

    @property
    def pipeline(self) -> Pipeline:
        clicks = read_clicks()
        serving = {"model": self.model, "ready_seconds": 60, "golden_requests": 20, "warmup_requests": 5}
        changed = {
            "name": self.name,
            "serving": clicks.serving.model_copy(update=serving),
            "landing": clicks.landing.model_copy(update={"time_zone": self.time_zone}),
        }
        return clicks.model_copy(update=changed)

    @property
    def store(self) -> Store:
        return Store(self.home)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.pipeline, self.store)

    @property
    def records(self) -> release.Records:
        return release.Records(self.pipeline, self.store)

    def window_of(self, day: int) -> Window:
        return day_of(day, self.time_zone)

    def produce(
        self, kind: str, day: int, inputs: dict[str, Artifact | None], write: Callable[[Draft], None]
    ) -> Artifact:
        return self.store.produce(Identity(kind, self.name, self.window_of(day), inputs, {}), write)

    def examples(self, day: int) -> Artifact:
        return self.produce("examples", day, {}, lambda draft: write_examples(self.pipeline, day, draft))

    def train(self, day: int, saved_model: str = "good") -> Artifact:
        """A model of this day; nothing is learnt, but it answers."""
        examples = self.examples(day)
        statistics = self.produce("statistics", day, {"examples": examples}, lambda _: None)
        days = [{"day": str(day), "examples": examples, "statistics": statistics, "left_out": None}]
        content = {"days": days, "holdout": holdout_of(self.window_of(day)).as_json()}
        window = self.produce(
            "training_window", day, {"examples": examples}, lambda draft: draft.write_json(content)
        )

        def write(draft: Draft) -> None:
            shutil.copytree(self.saved_models / saved_model, draft.path / "saved_model")
            draft.facts["weights_digest"] = f"{saved_model}-{day}"

        config = {"saved_model": saved_model}
        return self.store.produce(
            Identity("model", self.name, self.window_of(day), {"training_window": window}, config), write
        )

    def resolve(self, day: int, attempt: int = 1) -> Artifact:
        identity = Identity("production", self.name, self.window_of(day), {}, {"attempt": attempt})
        return self.store.produce(
            identity,
            lambda draft: release.resolve_production(
                self.pipeline, self.serving, self.mlflow, self.store, draft
            ),
        )

    def bless(self, day: int, model: Artifact, production: Artifact, verdict: str = "PASS") -> Artifact:
        blessing = {
            "verdict": verdict,
            "publish": verdict == "PASS",
            "reasons": ["for a test"],
            "judged_against": self.store.read_json(production)["version"],
        }
        inputs: dict[str, Artifact | None] = {"model": model, "production": production}
        return self.produce("blessing", day, inputs, lambda draft: draft.write_json(blessing))

    def log(self, day: int, **artifacts: Artifact | None) -> release.LoggedRun:
        examples = self.examples(day)
        night = release.Night(
            self.window_of(day),
            f"{self.model}/{day}",
            "http://airflow/run",
            {"examples": examples, **artifacts},
        )
        return release.log_to_mlflow(self.pipeline, night, self.mlflow, self.store)

    def push(
        self, day: int, model: Artifact, blessing: Artifact, production: Artifact, approval: str = ""
    ) -> Artifact:
        examples = self.store.open(self.examples(day))
        push = release.Push(
            model, blessing, production, examples, holdout_of(self.window_of(day)), approval=approval
        )
        inputs: dict[str, Artifact | None] = {"model": model, "blessing": blessing}
        return self.produce("pushed_model", day, inputs, lambda draft: self.push_with(push, draft))

    def push_with(self, push: release.Push, draft: Draft) -> None:
        """Push to where the pipeline's versions go first."""
        release.push_model(self.pipeline, push, self.serving, self.mlflow, self.store, draft)

    def night(self, day: int, saved_model: str = "good", verdict: str = "PASS") -> Artifact:
        """All of a night that release has a part in."""
        prepared = self.prepare(day, saved_model, verdict)
        return self.push(day, **prepared)

    def prepare(self, day: int, saved_model: str = "good", verdict: str = "PASS") -> dict[str, Artifact]:
        """The same up to the push."""
        production = self.resolve(day)
        model = self.train(day, saved_model)
        blessing = self.bless(day, model, production, verdict)
        self.log(day, model=model, production=production, blessing=blessing)
        return {"model": model, "blessing": blessing, "production": production}

    def prepare_again(self, day: int, saved_model: str, attempt: int) -> dict[str, Artifact]:
        """The same for a night that is run again: held against what serves by now."""
        production, model = self.resolve(day, attempt), self.train(day, saved_model)
        return {
            "model": model,
            "blessing": self.bless(day, model, production),
            "production": production,
        }

    def served(self) -> int | None:
        """What users are answered by."""
        with RestServer(self.serving, self.model) as server:
            return server.labelled_version("stable")

    def directories(self) -> list[str]:
        """What lies in the model's directory."""
        directory = self.serving.models_dir / self.model
        return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


@cache
def read_clicks() -> Pipeline:
    return load_pipeline("clicks")


def day_of(day: int, time_zone: str = "UTC") -> Window:
    return Window.of_day(date(2026, 11, 1) + timedelta(days=day - 1), time_zone)


def version_of(day: int) -> int:
    """The number that the first publication of a day gets."""
    return int(f"{day_of(day).start:%Y%m%d}001")


def holdout_of(window: Window) -> Window:
    return Window(window.end - (window.end - window.start) * 0.5, window.end)


def write_examples(pipeline: Pipeline, day: int, draft: Draft) -> None:
    random = np.random.default_rng(day)
    columns: dict[str, Any] = {}
    for name, kind in pipeline.read_schema().columns.items():
        numbers = random.integers(1, 50, ROWS)
        values = [f"{name}-{number}" for number in numbers] if kind == "string" else numbers
        columns[name] = pa.array(values, COLUMN_TYPES[kind])
    columns["age"] = pa.array(random.integers(13, 80, ROWS), pa.int64(), mask=random.random(ROWS) < 0.3)
    window = day_of(day, pipeline.landing.time_zone)
    columns["event_time"] = np.linspace(window.start_ms, window.end_ms - 1, ROWS).astype(np.int64)
    pq.write_table(pa.table(columns), draft.path / "part-00000.parquet")
    draft.facts.update(scanned=ROWS, accepted=ROWS, rejected={}, outside=0, late=0)


def save_models(directory: Path) -> None:
    """SavedModels with the raw features of the clicks pipeline as their signature.

    ``good``, ``better`` and ``best`` answer by the price, ``fickle`` never answers the same twice, and
    ``broken`` cannot be loaded.
    """
    import tensorflow as tf

    save_price_models(directory, DIVISORS)
    _save(directory / "fickle", lambda price: tf.random.uniform(tf.shape(price)))
    shutil.copytree(directory / "good", directory / "broken")
    (directory / "broken" / "saved_model.pb").write_bytes(b"not a SavedModel")


def save_price_models(directory: Path, divisors: Mapping[str, float]) -> None:
    """SavedModels that answer what `price_score` says, by name."""
    import tensorflow as tf

    def by_price(divisor: float) -> Callable[[Any], Any]:
        return lambda price: tf.sigmoid(price / divisor - 2)

    for name, divisor in divisors.items():
        _save(directory / name, by_price(divisor))


def price_score(price: float, divisor: float) -> float:
    """What a model of `save_price_models` must answer."""
    return 1 / (1 + math.exp(2 - price / divisor))


def _save(path: Path, answer: Callable[[Any], Any]) -> None:
    import tensorflow as tf

    from ml.features.requests import request_columns

    inputs = {
        name: tf.TensorSpec([None], dtype, name=name)
        for name, dtype in request_columns(read_clicks()).items()
    }
    function = tf.function(lambda **columns: {"score": answer(columns["price"])})
    module = tf.Module()
    module.serve = function.get_concrete_function(**inputs)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})


def push_and_die(place: Place, day: int, prepared: dict[str, Artifact], after: str) -> None:
    """Push in this process, and be killed right after an action of the publication, or inside of one."""
    deaths: dict[str, Callable[[], None]] = {
        "taking the config back": lambda: die_instead_of("ml.release.rpc.RpcServer", "reload", calls=2),
        "taking the directory away": lambda: die_instead_of("ml.release.publication", "unstage"),
    }
    deaths.get(after, lambda: _die_after(after))()
    place.push(day, **prepared)


def push_and_die_before(
    place: Place, day: int, prepared: dict[str, Artifact], effect: str, call: int
) -> None:
    """Push in this process, and be killed right before an effect comes for the how-manieth time."""
    die_instead_of(*effect.rsplit(".", 1), calls=call)
    place.push(day, **prepared)


def _die_after(action: str) -> None:
    from ml.release import publication

    kill_after(publication, "Publication", ("PREPARATION", "COMMITMENT"), action)


def kill_after(module: Any, owner: str, phases: tuple[str, ...], action: str) -> None:
    """Have this process killed right after an action of a class that a module lists in its phases."""
    done = getattr(getattr(module, owner), action)

    def do_and_die(self: Any) -> None:
        done(self)
        os.kill(os.getpid(), signal.SIGKILL)

    do_and_die.__name__ = action
    for phase in phases:
        actions = getattr(module, phase)
        setattr(module, phase, tuple(do_and_die if each is done else each for each in actions))


def die_instead_of(owner: str, name: str, calls: int = 1) -> None:
    import pkgutil

    holder = pkgutil.resolve_name(owner)
    done = getattr(holder, name)
    remaining = iter(range(calls - 1))

    def do_or_die(*arguments: Any, **settings: Any) -> Any:
        if next(remaining, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return done(*arguments, **settings)

    setattr(holder, name, do_or_die)


def resolve_and_die(place: Place, day: int, before: str) -> None:
    """Resolve production in this process, and be killed right before something is called."""
    owner, name = before.rsplit(".", 1)
    die_instead_of(owner, name)
    place.resolve(day)


def push_and_wait(place: Place, day: int, prepared: dict[str, Artifact], there: Connection) -> None:
    """Push in this process up to the golden requests, tell, and hold the publication lock for ever."""
    from ml.release import publication

    def tell_and_wait(*_: Any) -> None:
        there.send(day)
        while True:
            signal.pause()

    publication.__dict__["ask_golden"] = tell_and_wait
    place.push(day, **prepared)


def push_and_tell(place: Place, day: int, prepared: dict[str, Artifact], together: Any, told: Any) -> None:
    """Push in this process when the others do, and tell the day with what withheld it, or None."""
    together.wait()
    try:
        place.push(day, **prepared)
    except Withheld as withheld:
        told.put((day, str(withheld)))
    else:
        told.put((day, None))
