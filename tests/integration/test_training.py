"""Real worker processes: they learn, are lost, come back, and leave nobody behind."""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ml.artifact import Artifact
from ml.config import Pipeline
from ml.errors import Interrupted, Misconfigured
from ml.features.requests import to_tensors
from ml.features.scoring import load_scorer
from ml.manifest import Identity
from ml.store import Store
from ml.training import TrainingData, stop_training, train_candidate
from tests.integration.processes import children_of, command_of
from tests.ml.small_pipeline import DAY, HOLDOUT, land, purchases, small_pipeline

pytestmark = pytest.mark.integration

ROWS = 40_000
TRAIN_IN_ANOTHER_PROCESS = """
import logging, sys
from pathlib import Path
from tests.integration.test_training import candidate
from ml.store import Store
from tests.ml.small_pipeline import small_pipeline
logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
candidate(Store(Path(sys.argv[1])), small_pipeline(Path(sys.argv[2])), Path(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return land(purchases(ROWS), tmp_path_factory.mktemp("landed") / "2026-03-10", row_group_size=5000)


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return small_pipeline(tmp_path / "small")


@pytest.fixture(scope="module")
def undisturbed(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Artifact]:
    folder = tmp_path_factory.mktemp("undisturbed")
    store = Store(folder / "store")
    return store, candidate(store, small_pipeline(folder / "small"), examples)


@pytest.fixture
def said() -> Iterator[list[Callable[[str], None]]]:
    """Functions that are called with every line that is logged, while the workers run."""
    listeners: list[Callable[[str], None]] = []

    class Tell(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            for listener in listeners:
                listener(record.getMessage())

    ours, handler = logging.getLogger("ml.training"), Tell(logging.INFO)
    before = ours.level
    ours.setLevel(logging.INFO)
    ours.addHandler(handler)
    yield listeners
    ours.removeHandler(handler)
    ours.setLevel(before)


def candidate(store: Store, pipeline: Pipeline, examples: Path) -> Artifact:
    config = {"training": pipeline.training.model_dump(mode="json", exclude={"max_restarts"})}
    identity = Identity("model", "small", DAY, {}, config)
    data = TrainingData([examples], HOLDOUT)
    return store.produce(identity, lambda draft: train_candidate(pipeline, data, draft))


def workers_of(parent: int) -> list[int]:
    return [child for child in children_of(parent) if "ml.training.child" in command_of(child)]


def kill_a_worker(when: str) -> Callable[[str], None]:
    """Kill the youngest worker at the first line with these words."""
    waiting = [when]

    def listen(line: str) -> None:
        if waiting and waiting[0] in line:
            waiting.clear()
            os.kill(max(workers_of(os.getpid())), signal.SIGKILL)

    return listen


def test_a_candidate_learns(undisturbed: tuple[Store, Artifact], pipeline: Pipeline) -> None:
    store, model = undisturbed
    rows = purchases(2000, seed=2)
    scores = load_scorer(store.open(model) / "saved_model")(to_tensors(pipeline, rows))
    is_blue = np.array(rows.column("colour").to_pylist()) == "blue"

    assert scores[is_blue].mean() == pytest.approx(0.7, abs=0.1)
    assert scores[~is_blue].mean() == pytest.approx(0.2, abs=0.1)


def test_a_candidate_tells_what_it_was_made_of(undisturbed: tuple[Store, Artifact]) -> None:
    store, model = undisturbed
    manifest = store.manifest(model)
    history = store.read_json(model, "history.json")

    assert manifest.facts["examples"] == sum(manifest.facts["examples_by_day"]) == ROWS * 3 // 4
    assert manifest.facts["steps"] == history["epochs"][-1]["step"] == 469
    assert history["epochs"][-1]["examples"] == ROWS * 3 // 4
    assert manifest.measurements["restarts"] == 0
    assert any(name.startswith("measured/tensorboard/") for name in manifest.files)
    assert not (store.open(model) / "scratch").exists()


def test_two_workers_learn_together_and_survive_the_loss_of_one(
    examples: Path, tmp_path: Path, said: list[Callable[[str], None]]
) -> None:
    pipeline = small_pipeline(tmp_path / "small", workers=2, batch_size=512)
    stores = [Store(tmp_path / name) for name in ("undisturbed", "disturbed")]
    first = candidate(stores[0], pipeline, examples)
    said.append(kill_a_worker("checkpoint 16 saved"))

    second = candidate(stores[1], pipeline, examples)

    assert stores[1].manifest(second).measurements["restarts"] == 1
    assert stores[0].manifest(first).facts["steps"] == 59
    assert first == second
    [epoch] = stores[0].read_json(first, "history.json")["epochs"]
    assert epoch["examples"] == ROWS * 3 // 8
    assert epoch["auc"] > 0.6


def test_too_many_losses_interrupt_the_step(
    examples: Path, tmp_path: Path, said: list[Callable[[str], None]]
) -> None:
    said.append(kill_a_worker("beginning at step"))

    with pytest.raises(Interrupted, match=r"(?s)worker 0 ended with SIGKILL.*log ends with:\n.+"):
        candidate(Store(tmp_path / "store"), small_pipeline(tmp_path / "small", max_restarts=0), examples)
    assert workers_of(os.getpid()) == []


def test_a_training_that_is_stopped_is_not_started_again(
    pipeline: Pipeline, examples: Path, tmp_path: Path, said: list[Callable[[str], None]]
) -> None:
    said.append(lambda line: stop_training() if "beginning at step" in line else None)

    with pytest.raises(Interrupted, match="on request"):
        candidate(Store(tmp_path / "store"), pipeline, examples)
    assert workers_of(os.getpid()) == []


def test_weights_that_run_away_are_not_tried_again(examples: Path, tmp_path: Path) -> None:
    pipeline = small_pipeline(tmp_path / "small", learning_rate=1e20)

    with pytest.raises(Misconfigured, match=r"training\.learning_rate"):
        candidate(Store(tmp_path / "store"), pipeline, examples)


def test_no_worker_outlives_a_parent_that_is_ended(
    pipeline: Pipeline, examples: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"

    assert end_a_training(store, pipeline, examples, "beginning at step", signal.SIGTERM) == 1


def test_neither_a_kill_nor_the_loss_of_a_worker_in_the_next_try_leaves_a_trace_in_the_model(
    undisturbed: tuple[Store, Artifact],
    pipeline: Pipeline,
    examples: Path,
    tmp_path: Path,
    said: list[Callable[[str], None]],
) -> None:
    store = Store(tmp_path / "store")
    assert end_a_training(store.root, pipeline, examples, "checkpoint 64 saved", signal.SIGKILL) == 1
    said.append(kill_a_worker("checkpoint 64 saved"))

    model = candidate(store, pipeline, examples)

    assert store.manifest(model).measurements["restarts"] == 1
    assert model == undisturbed[1]


def end_a_training(store: Path, pipeline: Pipeline, examples: Path, when: str, end: signal.Signals) -> int:
    """Send a signal to a process that trains when it says something; return how many workers ended too."""
    command = [sys.executable, "-c", TRAIN_IN_ANOTHER_PROCESS, store, pipeline.folder, examples]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as parent:
        next(line for line in parent.stdout or () if when in line)
        workers = [os.pidfd_open(worker) for worker in workers_of(parent.pid)]
        parent.send_signal(end)
    for worker in workers:
        assert select.select([worker], [], [], 30)[0], "a worker outlived its parent"
        os.close(worker)
    return len(workers)
