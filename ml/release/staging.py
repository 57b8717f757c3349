"""A version's directory: filled under a name that no model server reads, then renamed in one move.

A model server takes every child of a model's directory whose name is a number for a version, and nothing
tells it whether the files in it are complete.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ml.artifact import Artifact, digest_file
from ml.durable import sync, sync_tree
from ml.errors import StoreCorrupted
from ml.release.rpc import predict_request
from ml.store import Store

STAGING = ".staging-"
SAVED_MODEL = "saved_model/"
WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"


def stage(
    store: Store, model: Artifact, target: Path, write_warmup: Callable[[Path], object] | None = None
) -> None:
    """Put a model's SavedModel and its warm-up requests into a version's directory.

    A directory that is there already is complete, for it got its name last; its files are verified.

    Args:
        store: where the model is.
        model: the model.
        target: ``<models_dir>/<model>/<version>``.
        write_warmup: writes the requests that the server plays before it calls the version AVAILABLE; None
            for none.

    Raises:
        StoreCorrupted: if the directory is there with other files in it.
        OSError: if a file cannot be copied, saying which and why.
    """
    if target.exists():
        verify(store, model, target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f"{STAGING}{target.name}")
    _forget(staging)
    _copy(store.open(model) / SAVED_MODEL, staging)
    if write_warmup:
        (staging / WARMUP).parent.mkdir(exist_ok=True)
        write_warmup(staging / WARMUP)
    sync_tree(staging)
    staging.rename(target)
    sync(target.parent)


def unstage(target: Path) -> None:
    """Take a version's directory away: out of the server's sight in one move, then off the disk."""
    if target.exists():
        withdrawn = target.with_name(f"{STAGING}withdrawn-{target.name}")
        _forget(withdrawn)
        target.rename(withdrawn)
        shutil.rmtree(withdrawn)


def write_warmup(path: Path, model: str, columns: Mapping[str, np.ndarray[Any, Any]], count: int) -> None:
    """Write a file of single-row requests, as users send them.

    Args:
        path: the file.
        model: the served model's name.
        columns: input name → [n] of real rows.
        count: how many rows to take; fewer if there are fewer.
    """
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in range(min(count, *(len(values) for values in columns.values()))):
            its_values = {name: values[row : row + 1] for name, values in columns.items()}
            record = PredictionLog()
            record.predict_log.request.CopyFrom(predict_request(model, its_values))
            writer.write(record.SerializeToString(deterministic=True))


def forget_lost_tries(directory: Path) -> None:
    """Delete what lost stagings and removals have left behind.

    Only under the locks of all servers that read the directory: under one alone, another's may be under way.
    """
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


def _forget(lost: Path) -> None:
    """Delete what an earlier try of the same has left behind."""
    if lost.exists():
        shutil.rmtree(lost)


def _copy(source: Path, staging: Path) -> None:
    try:
        shutil.copytree(source, staging)
    except shutil.Error as error:
        file, _, why = error.args[0][0]
        raise OSError(
            f"{file} could not be copied to {staging}: {why}. Make room there, or mend what it names, and "
            "try again; no model server looks at what is half copied."
        ) from error
