"""A version's directory: filled under a name that no model server reads, then renamed in one move.

A model server takes every child of a model's directory whose name is a number for a version, and nothing
tells it whether the files in it are complete.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.artifact import Artifact, digest_file
from ml.durable import sync, sync_tree
from ml.errors import StoreCorrupted
from ml.release.rpc import predict_request
from ml.store import Store

if TYPE_CHECKING:
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

STAGING = ".staging-"
SAVED_MODEL = "saved_model/"
WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"


def stage(store: Store, model: Artifact, target: Path, warmup: list[PredictionLog]) -> None:
    """Put a model's SavedModel and its warm-up requests into a version's directory.

    A directory that is there already is complete, for it got its name last; its files are verified.

    Args:
        store: where the model is.
        model: the model.
        target: ``<models_dir>/<model>/<version>``.
        warmup: requests that the server plays before it calls the version AVAILABLE.

    Raises:
        StoreCorrupted: if the directory is there with other files in it.
    """
    if target.exists():
        verify(store, model, target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    forget_lost_tries(target.parent)
    staging = target.with_name(f"{STAGING}{target.name}")
    shutil.copytree(store.open(model) / SAVED_MODEL, staging)
    if warmup:
        _write_warmup(staging / WARMUP, warmup)
    sync_tree(staging)
    staging.rename(target)
    sync(target.parent)


def unstage(target: Path) -> None:
    """Take a version's directory away: out of the server's sight in one move, then off the disk."""
    if target.exists():
        forget_lost_tries(target.parent)
        withdrawn = target.with_name(f"{STAGING}withdrawn-{target.name}")
        target.rename(withdrawn)
        shutil.rmtree(withdrawn)


def warmup_requests(model: str, columns: dict[str, np.ndarray[Any, Any]], count: int) -> list[PredictionLog]:
    """Records of single-row requests, as users send them.

    Args:
        model: the served model's name.
        columns: input name → [n] of real rows.
        count: how many rows to take; fewer if there are fewer.
    """
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    rows = min(count, *(len(values) for values in columns.values()))
    records = [PredictionLog() for _ in range(rows)]
    for row, record in enumerate(records):
        request = predict_request(model, {name: values[row : row + 1] for name, values in columns.items()})
        record.predict_log.request.CopyFrom(request)
    return records


def _write_warmup(path: Path, records: list[PredictionLog]) -> None:
    import tensorflow as tf

    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record.SerializeToString(deterministic=True))


def forget_lost_tries(directory: Path) -> None:
    """Delete what lost stagings and removals have left behind. Only under the publication lock."""
    for lost in directory.glob(f"{STAGING}*"):
        shutil.rmtree(lost)


def verify(store: Store, model: Artifact, target: Path) -> None:
    """Check that a version's directory holds the model's SavedModel, byte for byte.

    Raises:
        StoreCorrupted: naming the file that is missing or differs.
    """
    for name, expected in store.manifest(model).files.items():
        if not name.startswith(SAVED_MODEL):
            continue
        path = target / name.removeprefix(SAVED_MODEL)
        if not path.is_file() or digest_file(path) != expected["sha256"]:
            raise StoreCorrupted(
                f"{path} is not the file that was published as version {target.name}. Something changed it "
                f"afterwards: move {target} away and push again."
            )
