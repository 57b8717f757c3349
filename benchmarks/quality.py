"""Held-out AUC of the candidate beside DeepCTR's Wide & Deep and scikit-learn's logistic regression.

    python -m benchmarks.quality [--records 1000000] [--pipeline clicks] [--workdir DIRECTORY]

All three learn from the same generated rows and are scored on the same held-out end of the day. The truth
behind the clicks is known, and so is the best AUC that any model can reach; the last column is the share of
the way there from 0.5. The peers see the same features, prepared as their documentation does.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq
from sklearn.metrics import roc_auc_score

from ml.artifact import Window
from ml.config import Pipeline
from ml.pipelines import load_pipeline
from ml.schema import ColumnType
from ml.store import Draft
from ml.training import TrainingData, train_candidate
from tests.demo.clicks import Day, render

HERE = Path(__file__).parent
TYPES: dict[ColumnType, pa.DataType] = {"string": pa.string(), "int": pa.int64(), "float": pa.float64()}
PEERS = {"DeepCTR WDL": "deepctr_wdl", "scikit-learn logistic regression": "logistic_regression"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--pipeline", default="clicks")
    parser.add_argument("--workdir", type=Path, help="kept afterwards; a temporary directory by default")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as temporary:
        workdir = options.workdir or Path(temporary)
        workdir.mkdir(parents=True, exist_ok=True)
        compare(load_pipeline(options.pipeline), Day(date(2026, 3, 10), options.records, seed=7), workdir)


def compare(pipeline: Pipeline, day: Day, workdir: Path) -> None:
    window = Window.of_day(day.date, pipeline.landing.time_zone)
    holdout = held_out_end(window, pipeline.training.holdout_fraction)
    examples = generate(pipeline, day, workdir / "examples")
    best = day.best_auc(start_ms=holdout.start_ms)
    labels = held_out(examples, pipeline, holdout).column(pipeline.label).to_numpy()
    print(f"{day.records} records, {len(labels)} held out; the best reachable AUC is {best:.4f}\n")
    print(f"{'model':34}{'AUC':>8}{'of the way from 0.5':>21}{'seconds':>9}")

    def tell(name: str, scores: np.ndarray, seconds: float) -> None:
        auc = roc_auc_score(labels, scores)
        print(f"{name:34}{auc:8.4f}{(auc - 0.5) / (best - 0.5):21.1%}{seconds:9.0f}", flush=True)

    tell("the candidate", *ours(pipeline, examples, holdout, workdir))
    for name, module in PEERS.items():
        tell(name, *peer(module, pipeline, holdout, workdir))


def held_out_end(window: Window, fraction: float) -> Window:
    return Window(window.end - (window.end - window.start) * fraction, window.end)


def generate(pipeline: Pipeline, day: Day, directory: Path) -> Path:
    """The day as it would be landed."""
    directory.mkdir(exist_ok=True)
    columns = pipeline.read_schema().columns
    schema = pa.schema([(name, TYPES[column]) for name, column in columns.items()])
    with pq.ParquetWriter(directory / "part-00000.parquet", schema, compression="zstd") as writer:
        for block in day.blocks():
            lines = pa.BufferReader(b"\n".join(render(day, block)))
            options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
            writer.write_table(pj.read_json(lines, parse_options=options).select(schema.names))
    return directory


def held_out(examples: Path, pipeline: Pipeline, holdout: Window) -> pa.Table:
    table = pq.read_table(examples / "part-00000.parquet")
    return table.filter(pc.greater_equal(table.column(pipeline.landing.event_time), holdout.start_ms))


def ours(pipeline: Pipeline, examples: Path, holdout: Window, workdir: Path) -> tuple[np.ndarray, float]:
    """Scores of the held-out rows, through the served signature, and the seconds that training took."""
    from ml.features.requests import to_tensors
    from ml.features.scoring import load_scorer

    draft = Draft(workdir / f"model-{os.getpid()}", "model")
    draft.path.mkdir()
    started = time.monotonic()
    train_candidate(pipeline, TrainingData([examples], holdout), draft)
    seconds = time.monotonic() - started
    scorer = load_scorer(draft.path / "saved_model")
    return scorer(to_tensors(pipeline, held_out(examples, pipeline, holdout))), seconds


def peer(module: str, pipeline: Pipeline, holdout: Window, workdir: Path) -> tuple[np.ndarray, float]:
    """Scores of a peer, which runs in a process of its own, and the seconds that it took."""
    task, scores = workdir / "task.json", workdir / f"{module}.npy"
    task.write_text(json.dumps(task_of(pipeline, holdout, workdir)))
    search = [str(peers_directory()), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, search)),
        "TF_USE_LEGACY_KERAS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", f"benchmarks.peers.{module}", str(task), str(scores)]
    started = time.monotonic()
    subprocess.run(command, env=environment, cwd=HERE.parent, check=True)
    return np.load(scores), time.monotonic() - started


def task_of(pipeline: Pipeline, holdout: Window, workdir: Path) -> dict[str, object]:
    return {
        "examples": str(workdir.absolute() / "examples" / "part-00000.parquet"),
        "event_time": pipeline.landing.event_time,
        "before_ms": holdout.start_ms,
        "label": pipeline.label,
        "categorical": list(pipeline.features.categorical),
        "numeric": list(pipeline.features.numeric),
        "log_scale": [name for name, kind in pipeline.features.numeric.items() if kind.scale == "log"],
        "epochs": pipeline.training.epochs,
    }


def peers_directory() -> Path:
    """Where the peers' packages lie, beside ours and not among them; installed when they are not there."""
    directory = Path(os.environ.get("RETRAIN_HOME", "var")).absolute() / "benchmark-peers"
    if not directory.exists():
        requirements = HERE / "requirements.txt"
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]
        subprocess.run([*command, "--target", str(directory), "-r", str(requirements)], check=True)
    return directory


if __name__ == "__main__":
    main()
