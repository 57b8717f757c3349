"""The part of TensorFlow Serving's contract that this repository relies on.

Written from its documentation and protos. By default the stand-in is started and held to it. To hold the real
binary to it, start that as

    tensorflow_model_server --port=8500 --rest_api_port=8501 --model_config_file=FILE \
        --monitoring_config_file=MONITORING --max_num_load_retries=0

with ``model_config_list {}`` in FILE and ``prometheus_config { enable: true }`` in MONITORING, and set

    SERVING_ADDRESS=127.0.0.1:8500,127.0.0.1:8501   its gRPC and REST addresses
    SERVING_MODELS_DIR=/srv/models                  a directory that tests write to and the server reads
    SERVING_SERVER_MODELS_DIR=/models               the same as the server sees it, if that differs

The tests reload its config: never use a server that serves anybody.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.config.file_system_storage_path_source_pb2 import FileSystemStoragePathSourceConfig

from tests.demo.model_server.process import running_model_server
from tests.integration.scoring_model import (
    ROWS,
    copied_into_place,
    save_scoring_model,
    scores,
    serialized_examples,
    tensor_inputs,
    warm_up_record,
)
from tests.integration.serving_client import Client, ModelDirectory, eventually

pytestmark = pytest.mark.integration

SLOPES = {1: 1.0, 2: 2.0, 3: 3.0}
ALL_VERSIONS = FileSystemStoragePathSourceConfig.ServableVersionPolicy(
    all=FileSystemStoragePathSourceConfig.ServableVersionPolicy.All()
)
TWO_LATEST = FileSystemStoragePathSourceConfig.ServableVersionPolicy(
    latest=FileSystemStoragePathSourceConfig.ServableVersionPolicy.Latest(num_versions=2)
)
AddVersion = Callable[..., Path]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The models directory, as the tests and as the server see it."""
    seen_here = Path(os.environ.get("SERVING_MODELS_DIR") or tmp_path_factory.mktemp("models"))
    return seen_here, Path(os.environ.get("SERVING_SERVER_MODELS_DIR", seen_here))


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The gRPC and REST addresses of the server under test."""
    if given := os.environ.get("SERVING_ADDRESS"):
        grpc_address, rest_address = given.split(",")
        yield grpc_address, f"http://{rest_address}"
        return
    home = tmp_path_factory.mktemp("server")
    config, monitoring = home / "models.config", home / "monitoring.config"
    config.write_text("model_config_list {}")
    monitoring.write_text("prometheus_config { enable: true }")
    flags = [
        f"--monitoring_config_file={monitoring}",
        "--model_config_file_poll_wait_seconds=0",
        "--allow_version_labels_for_unavailable_models=false",
        "--file_system_poll_wait_seconds=0.1",
    ]
    with running_model_server(config, home / "server.log", flags) as server:
        yield server.grpc, server.rest


@pytest.fixture
def client(addresses: tuple[str, str]) -> Iterator[Client]:
    client = Client(*addresses)
    yield client
    client.reload()
    client.close()


@pytest.fixture(scope="module")
def saved_models(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """One SavedModel for each version, told apart by its slope."""
    paths = {version: tmp_path_factory.mktemp("saved") / str(version) for version in SLOPES}
    for version, path in paths.items():
        save_scoring_model(path, SLOPES[version])
    return paths


@pytest.fixture
def new_model(shared: tuple[Path, Path]) -> Iterator[Callable[[], ModelDirectory]]:
    """Makes empty base paths, and takes them away after the test."""
    made: list[Path] = []

    def make() -> ModelDirectory:
        name = f"model_{uuid.uuid4().hex[:8]}"
        made.append(shared[0] / name)
        made[-1].mkdir()
        return ModelDirectory(name, made[-1], shared[1] / name)

    yield make
    for path in made:
        shutil.rmtree(path)


@pytest.fixture
def model(new_model: Callable[[], ModelDirectory]) -> ModelDirectory:
    return new_model()


@pytest.fixture
def add_version(saved_models: dict[int, Path]) -> AddVersion:
    def add(model: ModelDirectory, version: int, **settings: Any) -> Path:
        return copied_into_place(saved_models[version], model.path, version, **settings)

    return add


def add_broken_version(model: ModelDirectory, version: int) -> None:
    staging = model.path / f".staging-{version}"
    staging.mkdir()
    (staging / "saved_model.pb").write_bytes(b"this is no SavedModel")
    staging.rename(model.path / str(version))


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code(), raised.value.details()


# -- Which versions are served -----------------------------------------------------------------------------


def test_a_reload_returns_when_a_new_model_answers(client, model, add_version):
    add_version(model, 1)

    client.reload(model.config())

    assert client.states(model.name) == {1: "AVAILABLE"}
    assert client.scores(model.spec()) == scores(SLOPES[1])


def test_a_higher_version_takes_over_by_itself(client, model, add_version):
    add_version(model, 1)
    client.reload(model.config())

    add_version(model, 2)

    client.wait_for_states(model.name, {2: "AVAILABLE", 1: "END"})
    assert client.scores(model.spec()) == scores(SLOPES[2])


def test_requests_are_answered_throughout_a_takeover(client, model, add_version):
    add_version(model, 1)
    client.reload(model.config())
    taken_over = threading.Event()

    def ask() -> set[float]:
        answers, is_over = set(), False
        while not is_over:
            is_over = taken_over.is_set()
            answers.add(client.scores(model.spec())[0][0])
        return answers

    with ThreadPoolExecutor() as pool:
        try:
            asking = [pool.submit(ask) for _ in range(2)]
            add_version(model, 2)
            client.wait_for_states(model.name, {2: "AVAILABLE", 1: "END"})
        finally:
            taken_over.set()

    before, after = (scores(SLOPES[version])[0][0] for version in (1, 2))
    for each in asking:
        assert after in each.result() <= {before, after}


def test_only_names_that_are_numbers_are_versions(client, model, add_version):
    add_version(model, 1)
    for name in ("v2", "stable", "3.tmp", str(2**63)):
        shutil.copytree(model.path / "1", model.path / name)

    client.reload(model.config(model_version_policy=ALL_VERSIONS))

    assert client.states(model.name) == {1: "AVAILABLE"}


def test_the_policy_can_ask_for_all_versions(client, model, add_version):
    for version in SLOPES:
        add_version(model, version)

    client.reload(model.config(model_version_policy=ALL_VERSIONS))

    client.wait_for_states(model.name, dict.fromkeys(SLOPES, "AVAILABLE"))


def test_the_policy_can_ask_for_several_latest_versions(client, model, add_version):
    for version in SLOPES:
        add_version(model, version)

    client.reload(model.config(model_version_policy=TWO_LATEST))

    client.wait_for_states(model.name, {3: "AVAILABLE", 2: "AVAILABLE"})


def test_the_policy_can_pin_an_older_version(client, model, add_version):
    add_version(model, 1)
    add_version(model, 2)

    client.reload(model.config(1))

    assert client.states(model.name) == {1: "AVAILABLE"}
    assert client.scores(model.spec()) == scores(SLOPES[1])


def test_versions_served_together_are_asked_for_by_number(client, model, add_version):
    add_version(model, 1)
    add_version(model, 2)
    client.reload(model.config(1, 2))
    client.wait_for_states(model.name, {1: "AVAILABLE", 2: "AVAILABLE"})

    assert client.scores(model.spec(version=1)) == scores(SLOPES[1])
    assert client.scores(model.spec(version=2)) == scores(SLOPES[2])
    assert client.scores(model.spec()) == scores(SLOPES[2])


def test_a_directory_that_disappears_is_unloaded(client, model, add_version):
    add_version(model, 1)
    newer = add_version(model, 2)
    client.reload(model.config(model_version_policy=ALL_VERSIONS))
    client.wait_for_states(model.name, {1: "AVAILABLE", 2: "AVAILABLE"})

    newer.rename(model.path / ".removed")

    client.wait_for_states(model.name, {1: "AVAILABLE", 2: "END"})
    assert client.scores(model.spec()) == scores(SLOPES[1])


def test_a_version_that_was_unloaded_can_be_served_again(client, model, add_version):
    add_version(model, 1)
    add_version(model, 2)
    client.reload(model.config(1))
    client.reload(model.config(2))
    client.wait_for_states(model.name, {1: "END", 2: "AVAILABLE"})

    client.reload(model.config(1))

    client.wait_for_states(model.name, {1: "AVAILABLE", 2: "END"})


def test_a_failed_load_ends_with_its_error_and_the_previous_version_keeps_answering(
    client, model, add_version
):
    add_version(model, 1)
    client.reload(model.config())

    add_broken_version(model, 2)

    client.wait_for_states(model.name, {2: "END", 1: "AVAILABLE"})
    failed = client.statuses(model.spec())[2].status
    assert failed.error_code != 0
    assert failed.error_message
    assert client.scores(model.spec()) == scores(SLOPES[1])


# -- Reloads -------------------------------------------------------------------------------------------------


def test_a_reload_is_the_whole_truth(client, model, new_model, add_version):
    other = new_model()
    for each in (model, other):
        add_version(each, 1)
    client.reload(model.config(), other.config())

    client.reload(other.config())

    client.wait_for_states(model.name, {1: "END"})
    assert refusal(lambda: client.scores(model.spec()))[0] is grpc.StatusCode.NOT_FOUND
    assert client.scores(other.spec()) == scores(SLOPES[1])


def test_a_reload_fails_if_a_new_model_does_not_load(client, model):
    add_broken_version(model, 1)

    code, message = refusal(lambda: client.reload(model.config()))

    assert code is grpc.StatusCode.UNKNOWN
    assert model.name in message


def test_a_reload_does_not_wait_for_new_versions_of_a_known_model(client, model, add_version):
    add_version(model, 1)
    client.reload(model.config(1))
    add_broken_version(model, 2)

    client.reload(model.config(1, 2))

    client.wait_for_states(model.name, {1: "AVAILABLE", 2: "END"})


def test_a_model_listed_twice_is_refused(client, model, add_version):
    add_version(model, 1)

    code, _ = refusal(lambda: client.reload(model.config(), model.config()))

    assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_model_without_a_platform_is_refused(client, model, add_version):
    add_version(model, 1)
    config = model.config()
    config.model_platform = ""

    code, _ = refusal(lambda: client.reload(config))

    assert code is grpc.StatusCode.INVALID_ARGUMENT


# -- Labels --------------------------------------------------------------------------------------------------


def test_a_label_is_moved_in_two_reloads_and_answers_throughout(client, model, add_version):
    add_version(model, 1)
    client.reload(model.config(1))
    client.reload(model.config(1, labels={"stable": 1}))
    assert client.scores(model.spec(label="stable")) == scores(SLOPES[1])

    add_version(model, 2)
    client.reload(model.config(1, 2, labels={"stable": 1}))
    client.wait_for_states(model.name, {1: "AVAILABLE", 2: "AVAILABLE"})
    assert client.scores(model.spec(label="stable")) == scores(SLOPES[1])

    client.reload(model.config(1, 2, labels={"stable": 2}))
    assert client.scores(model.spec(label="stable")) == scores(SLOPES[2])

    client.reload(model.config(2, labels={"stable": 2}))
    client.wait_for_states(model.name, {1: "END", 2: "AVAILABLE"})
    assert client.scores(model.spec(label="stable")) == scores(SLOPES[2])


def test_adding_a_version_and_labelling_it_at_once_fails_and_never_loads_it(
    client, model, new_model, add_version
):
    other = new_model()
    add_version(other, 1)
    add_version(model, 1)
    client.reload(model.config(1), other.config())
    client.reload(model.config(1, labels={"stable": 1}), other.config())
    add_version(model, 2)

    code, message = refusal(lambda: client.reload(model.config(1, 2, labels={"stable": 2}), other.config()))

    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "not currently available for inference" in message
    add_version(other, 2)
    client.wait_for_states(other.name, {2: "AVAILABLE", 1: "END"})  # the server has looked at the disk since
    assert client.states(model.name) == {1: "AVAILABLE"}
    assert client.scores(model.spec(label="stable")) == scores(SLOPES[1])


def test_a_new_model_cannot_come_with_a_label(client, model, add_version):
    add_version(model, 1)

    code, _ = refusal(lambda: client.reload(model.config(1, labels={"stable": 1})))

    assert code is grpc.StatusCode.FAILED_PRECONDITION


def test_an_unknown_label_is_an_invalid_argument(client, model, add_version):
    add_version(model, 1)
    client.reload(model.config())

    assert refusal(lambda: client.scores(model.spec(label="stable")))[0] is grpc.StatusCode.INVALID_ARGUMENT
    response = client.post(f"/v1/models/{model.name}/labels/stable:predict", {"inputs": ROWS})
    assert response.status_code == 400


def test_a_label_left_out_of_a_reload_is_gone(client, model, add_version):
    add_version(model, 1)
    client.reload(model.config(1))
    client.reload(model.config(1, labels={"stable": 1}))

    client.reload(model.config(1))

    assert refusal(lambda: client.scores(model.spec(label="stable")))[0] is grpc.StatusCode.INVALID_ARGUMENT


# -- Status and metadata -------------------------------------------------------------------------------------


def test_the_status_of_one_version_can_be_asked_for(client, model, add_version):
    add_version(model, 1)
    client.reload(model.config())

    assert list(client.statuses(model.spec(version=1))) == [1]
    assert refusal(lambda: client.statuses(model.spec(version=9)))[0] is grpc.StatusCode.NOT_FOUND


def test_the_status_ignores_labels_and_lists_all_versions(client, model, add_version):
    add_version(model, 1)
    add_version(model, 2)
    client.reload(model.config(1, 2))
    client.wait_for_states(model.name, {1: "AVAILABLE", 2: "AVAILABLE"})
    client.reload(model.config(1, 2, labels={"stable": 1}))

    assert set(client.statuses(model.spec(label="stable"))) == {1, 2}
    assert client.get(f"/v1/models/{model.name}/labels/stable").json() == (
        client.get(f"/v1/models/{model.name}").json()
    )


def test_the_status_over_rest_has_the_documented_shape(client, model, add_version):
    add_version(model, 1)
    client.reload(model.config())

    response = client.get(f"/v1/models/{model.name}/versions/1")

    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "model_version_status": [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }


def test_the_metadata_describes_the_signatures(client, model, add_version):
    add_version(model, 1)
    client.reload(model.config())

    answered, signatures = client.signatures(model.spec())

    assert (answered.name, answered.version.value) == (model.name, 1)
    inputs = signatures["serving_default"].inputs
    assert {name: tf.as_dtype(info.dtype).name for name, info in inputs.items()} == {
        "user_id": "int64",
        "price": "float32",
        "device": "string",
    }
    assert [dim.size for dim in inputs["price"].tensor_shape.dim] == [-1, 1]
    assert signatures["serving_examples"].method_name == "tensorflow/serving/predict"


def test_the_metadata_over_rest_has_the_documented_shape(client, model, add_version):
    add_version(model, 1)
    client.reload(model.config())

    document = client.get(f"/v1/models/{model.name}/versions/1/metadata").json()

    assert document["model_spec"] == {"name": model.name, "signature_name": "", "version": "1"}
    price = document["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["price"]
    assert price["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in price["tensor_shape"]["dim"]] == ["-1", "1"]


# -- Predict -------------------------------------------------------------------------------------------------


@pytest.fixture
def served(client: Client, model: ModelDirectory, add_version: AddVersion) -> ModelDirectory:
    """A model that answers."""
    add_version(model, 1)
    client.reload(model.config())
    return model


def predict_path(model: ModelDirectory) -> str:
    return f"/v1/models/{model.name}:predict"


def test_an_answer_names_the_version_and_signature_that_gave_it(client, served):
    answered = client.predict(served.spec()).model_spec

    assert (answered.name, answered.version.value) == (served.name, 1)
    assert answered.signature_name == "serving_default"


def test_serialized_examples_score_like_raw_tensors(client, served):
    examples = {"examples": tf.make_tensor_proto(serialized_examples())}

    assert client.scores(served.spec(signature="serving_examples"), examples) == scores(SLOPES[1])


def test_rows_over_rest_score_like_grpc(client, served):
    rows = [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]

    response = client.post(predict_path(served), {"instances": rows})

    assert response.json() == {"predictions": scores(SLOPES[1])}


def test_columns_over_rest_score_like_grpc(client, served):
    response = client.post(f"/v1/models/{served.name}/versions/1:predict", {"inputs": ROWS})

    assert response.json() == {"outputs": scores(SLOPES[1])}


def test_binary_strings_travel_as_base64(client, served):
    encoded = [{"b64": base64.b64encode(example).decode()} for example in serialized_examples()]

    response = client.post(predict_path(served), {"signature_name": "serving_examples", "instances": encoded})

    assert response.json() == {"predictions": scores(SLOPES[1])}


def test_several_outputs_over_rest_are_named_and_those_called_bytes_are_base64(client, served):
    response = client.post(predict_path(served), {"signature_name": "echo", "instances": ["ü"]})

    assert response.json() == {"predictions": [{"text": "ü", "text_bytes": {"b64": "w7w="}}]}


def test_several_outputs_in_columns_are_an_object(client, served):
    response = client.post(predict_path(served), {"signature_name": "echo", "inputs": {"text": ["a", "b"]}})

    assert response.json()["outputs"]["text"] == ["a", "b"]


def test_an_output_filter_chooses_outputs(client, served):
    text = {"text": tf.make_tensor_proto([b"a"])}

    assert set(client.predict(served.spec(signature="echo"), text, outputs=["text"]).outputs) == {"text"}


def test_a_model_that_is_not_served_is_not_found(client, served):
    assert refusal(lambda: client.scores(served.spec(version=9)))[0] is grpc.StatusCode.NOT_FOUND
    response = client.post("/v1/models/half:predict", {"instances": [1.0]})
    assert response.status_code == 404
    assert response.json() == {"error": "Servable not found for request: Latest(half)"}


def test_an_unknown_signature_is_a_failed_precondition(client, served):
    code, _ = refusal(lambda: client.scores(served.spec(signature="nonsense")))

    assert code is grpc.StatusCode.FAILED_PRECONDITION


def test_inputs_that_do_not_fit_the_signature_are_invalid_arguments(client, served):
    missing = tensor_inputs()
    del missing["device"]
    extra = {**tensor_inputs(), "colour": tf.make_tensor_proto([b"red", b"blue"])}
    wrong_type = {**tensor_inputs(), "user_id": tf.make_tensor_proto([0.5, 1.5])}
    short = {**tensor_inputs(), "user_id": tf.make_tensor_proto([1, 2, 3], tf.int64)}

    for inputs in (missing, extra, wrong_type, short):
        code, _ = refusal(lambda inputs=inputs: client.scores(served.spec(), inputs))
        assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        json.dumps({"inputs": ROWS, "instances": []}).encode(),
        json.dumps({"instances": []}).encode(),
        json.dumps({"instances": [1.0]}).encode(),
        json.dumps({"instances": [{"user_id": 7}]}).encode(),
        json.dumps({"inputs": {**ROWS, "user_id": [0.5, 1]}}).encode(),
        json.dumps({"inputs": {**ROWS, "device": [1, 2]}}).encode(),
        json.dumps({"inputs": {**ROWS, "price": [[0.5], [2.25, 3]]}}).encode(),
        json.dumps({"inputs": ROWS, "signature_name": "nonsense"}).encode(),
    ],
)
def test_a_request_that_makes_no_sense_over_rest_is_bad_and_says_why(client, served, body):
    response = client.post(predict_path(served), body)

    assert response.status_code == 400
    assert response.json()["error"]


@pytest.mark.parametrize("path", ["/v1/models/{}:guess", "/v1/models/{}/versions/one:predict"])
def test_a_malformed_address_is_bad(client, served, path):
    response = client.post(path.format(served.name), {"inputs": ROWS})

    assert response.status_code == 400
    assert "Malformed request" in response.json()["error"]


# -- Warm-up -------------------------------------------------------------------------------------------------


def test_a_version_with_good_warm_up_requests_is_served(client, model, add_version):
    add_version(model, 1, warm_up=[warm_up_record(tensor_inputs())] * 3)

    client.reload(model.config())

    assert client.states(model.name) == {1: "AVAILABLE"}


def test_one_bad_warm_up_request_fails_the_load(client, model, add_version):
    good = warm_up_record(tensor_inputs())
    bad = warm_up_record({"user_id": tf.make_tensor_proto([1], tf.int64)})
    add_version(model, 1)
    client.reload(model.config())

    add_version(model, 2, warm_up=[good, bad])

    client.wait_for_states(model.name, {1: "AVAILABLE", 2: "END"})
    assert client.statuses(model.spec())[2].status.error_message


def test_more_than_a_thousand_warm_up_requests_fail_the_load(client, model, add_version):
    add_version(model, 1)
    client.reload(model.config())

    add_version(model, 2, warm_up=[warm_up_record(tensor_inputs())] * 1001)

    client.wait_for_states(model.name, {1: "AVAILABLE", 2: "END"})
    assert "1000" in client.statuses(model.spec())[2].status.error_message


# -- Metrics -------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_model_and_status_under_names_that_begin_with_a_colon(client, served):
    client.scores(served.spec())
    client.post(predict_path(served), {"inputs": ROWS})
    refusal(lambda: client.scores(served.spec(version=9)))

    page = eventually(
        lambda: client.get("/monitoring/prometheus/metrics").text, lambda text: 'status="NOT_FOUND"' in text
    )

    counted = f':tensorflow:serving:request_count{{model_name="{served.name}",status="OK"}} 2'
    assert counted in page.splitlines()
    assert "# TYPE :tensorflow:serving:request_count counter" in page
    assert f':tensorflow:serving:request_latency_bucket{{model_name="{served.name}",' in page
