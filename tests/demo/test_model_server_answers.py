"""What the stand-in reads and writes, without a server."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from prometheus_client.parser import text_string_to_metric_families
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tests.demo.model_server.config import read_metrics_path, read_model_server_config
from tests.demo.model_server.core import CoreOptions, ServerCore
from tests.demo.model_server.flags import parse_flags
from tests.demo.model_server.metrics import Metrics
from tests.demo.model_server.status import StatusError
from tests.demo.model_server.tensors import array_from_json, array_of, json_of, proto_of

SHAPES = array_shapes(min_dims=0, max_dims=3, max_side=3)
NUMBERS = st.one_of(*(arrays(dtype, SHAPES) for dtype in (np.int64, np.int32, np.float32, np.float64, bool)))
TEXTS = arrays(object, SHAPES, elements=st.text().map(str.encode))


@given(st.one_of(NUMBERS, TEXTS))
def test_an_array_survives_json(array):
    written = json.dumps(json_of("score", array))
    read = array_from_json(json.loads(written), tf.as_dtype(array.dtype))

    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@given(arrays(object, SHAPES, elements=st.binary()))
def test_any_bytes_survive_json_under_a_name_that_ends_in_bytes(array):
    read = array_from_json(json.loads(json.dumps(json_of("image_bytes", array))), tf.string)

    np.testing.assert_array_equal(read, array)


@given(st.one_of(NUMBERS, TEXTS))
def test_an_array_survives_its_proto(array):
    np.testing.assert_array_equal(array_of("score", proto_of(array)), array)


def test_a_float_is_written_as_briefly_as_it_is():
    assert json.dumps(json_of("score", np.array([0.2, 1.0, np.nan], np.float32))) == "[0.2, 1.0, NaN]"


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1.5, tf.int64),
        (True, tf.int64),
        ("1", tf.int64),
        (None, tf.float32),
        (300, tf.uint8),
        (2**24 + 1, tf.float32),
        (1e39, tf.float32),
        (1, tf.string),
        ({"b64": "no base64!"}, tf.string),
        ([[1], 2], tf.int64),
        ([1, [2]], tf.int64),
        ([[1, 2], [3]], tf.int64),
        ({"b64": "AA=="}, tf.int64),
    ],
)
def test_a_value_that_would_lose_something_is_refused(value, dtype):
    with pytest.raises(StatusError, match="INVALID_ARGUMENT"):
        array_from_json(value, dtype)


def test_prometheus_reads_the_metrics():
    metrics = Metrics()
    metrics.count('a "quoted" model', "OK")
    metrics.time("clicks", "Predict", "GRPC", seconds=0.001)

    counter, latency = text_string_to_metric_families(metrics.exposition())

    assert [(each.labels, each.value) for each in counter.samples] == [
        ({"model_name": 'a "quoted" model', "status": "OK"}, 1)
    ]
    below = {each.labels["le"]: each.value for each in latency.samples if each.name.endswith("_bucket")}
    assert len(below) == 34
    assert below["10"] == 0
    assert below["1102"] == 1
    assert below["+Inf"] == 1


@pytest.mark.parametrize("text", ["", "model_config_list {", "nonsense: 1"])
def test_a_config_file_that_cannot_be_read_is_refused(tmp_path, text):
    file = tmp_path / "models.config"
    file.write_text(text)

    with pytest.raises(StatusError, match=r"INVALID_ARGUMENT.*models\.config"):
        read_model_server_config(file)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true, path: '/metrics' }", "/metrics"),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ("prometheus_config { }", None),
    ],
)
def test_the_monitoring_config_says_where_the_metrics_are(tmp_path, text, path):
    file = tmp_path / "monitoring.config"
    file.write_text(text)

    assert read_metrics_path(file) == path


def test_flags_are_read_in_both_notations_and_have_the_real_defaults():
    flags = parse_flags(["--port=1", "--rest_api_port", "2", "--model_config_file=models.config"])

    assert (flags.port, flags.rest_api_port, flags.host) == (1, 2, "127.0.0.1")
    assert flags.core == CoreOptions(1.0, 5, 60_000_000, False)


def test_a_flag_that_is_not_kept_is_refused(capsys):
    with pytest.raises(SystemExit):
        parse_flags(["--model_config_file=models.config", "--enable_batching=true"])

    assert "--enable_batching" in capsys.readouterr().err


@pytest.fixture
def base_path(tmp_path):
    (tmp_path / "1").mkdir()
    return tmp_path


def labelled(base_path, **labels):
    config = ModelServerConfig()
    model = config.model_config_list.config.add(
        name="clicks", base_path=str(base_path), model_platform="tensorflow"
    )
    model.version_labels.update(labels)
    return config


def test_a_label_in_the_first_config_is_refused(base_path):
    with ServerCore(str, CoreOptions()) as core, pytest.raises(StatusError, match="not currently available"):
        core.reload(labelled(base_path, stable=1))


def test_a_flag_allows_a_label_that_is_not_in_use_before_its_version_is_available(base_path):
    options = CoreOptions(allow_version_labels_for_unavailable_models=True)

    with ServerCore(str, options) as core:
        core.reload(labelled(base_path, stable=1))
        core.reload(labelled(base_path, stable=1, canary=2))
        with pytest.raises(StatusError, match="not currently available"):
            core.reload(labelled(base_path, stable=2))
