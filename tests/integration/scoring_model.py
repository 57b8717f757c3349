"""A tiny SavedModel with the signatures of the real ones, whose score anyone can compute by hand."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

ROWS: dict[str, list[Any]] = {
    "user_id": [7, 2**53 + 1],
    "price": [[0.5], [2.25]],
    "device": ["phone", "télé"],
}
DTYPES = {"user_id": tf.int64, "price": tf.float32, "device": tf.string}
LAYOUT = {
    "user_id": tf.io.FixedLenFeature([], tf.int64),
    "price": tf.io.FixedLenFeature([1], tf.float32),
    "device": tf.io.FixedLenFeature([], tf.string),
}


def scores(slope: float) -> list[list[float]]:
    """What a model with this slope must answer for ROWS; see ScoringModel."""
    return [[slope * 0.5 + 7 + 5], [slope * 2.25 + 3 + 6]]


class ScoringModel(tf.Module):
    """slope · price + (user_id mod 10) + bytes of device."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = tf.Variable(slope, dtype=tf.float32)

    def score(self, user_id: Any, price: Any, device: Any) -> Any:
        flat = tf.cast(user_id % 10, tf.float32) + tf.cast(tf.strings.length(device), tf.float32)
        return self.slope * price + flat[:, tf.newaxis]

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int64, "user_id"),
            tf.TensorSpec([None, 1], tf.float32, "price"),
            tf.TensorSpec([None], tf.string, "device"),
        ]
    )
    def serve_tensors(self, user_id: Any, price: Any, device: Any) -> dict[str, Any]:
        return {"score": self.score(user_id, price, device)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serve_examples(self, examples: Any) -> dict[str, Any]:
        rows = tf.io.parse_example(examples, LAYOUT)
        return {"score": self.score(rows["user_id"], rows["price"], rows["device"])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def echo(self, text: Any) -> dict[str, Any]:
        return {"text": text, "text_bytes": text}


def save_scoring_model(path: Path, slope: float) -> None:
    """Write the SavedModel to ``path``."""
    model = ScoringModel(slope)
    signatures = {
        "serving_default": model.serve_tensors,
        "serving_examples": model.serve_examples,
        "echo": model.echo,
    }
    tf.saved_model.save(model, str(path), signatures=signatures)


def copied_into_place(source: Path, base_path: Path, version: int, warm_up: Sequence[Any] = ()) -> Path:
    """Copy a SavedModel below a base path, complete from the first moment that it can be seen."""
    staging = base_path / f".staging-{version}"
    shutil.copytree(source, staging)
    if warm_up:
        file = staging / "assets.extra" / "tf_serving_warmup_requests"
        file.parent.mkdir()
        with tf.io.TFRecordWriter(str(file)) as writer:
            for record in warm_up:
                writer.write(record.SerializeToString())
    return staging.rename(base_path / str(version))


def tensor_inputs() -> dict[str, Any]:
    """ROWS as TensorProtos."""
    return {name: tf.make_tensor_proto(values, DTYPES[name]) for name, values in ROWS.items()}


def serialized_examples() -> list[bytes]:
    """ROWS as serialized tf.Examples."""
    return [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    "user_id": tf.train.Feature(int64_list=tf.train.Int64List(value=[user_id])),
                    "price": tf.train.Feature(float_list=tf.train.FloatList(value=price)),
                    "device": tf.train.Feature(bytes_list=tf.train.BytesList(value=[device.encode()])),
                }
            )
        ).SerializeToString()
        for user_id, price, device in zip(*ROWS.values(), strict=True)
    ]


def warm_up_record(inputs: dict[str, Any]) -> Any:
    """A PredictionLog that asks for the score of ``inputs``."""
    request = PredictRequest()
    for name, proto in inputs.items():
        request.inputs[name].CopyFrom(proto)
    record = PredictionLog()
    record.predict_log.request.CopyFrom(request)
    return record
