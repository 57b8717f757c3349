from __future__ import annotations

import subprocess
import sys

from google.protobuf.wrappers_pb2 import BytesValue
from google.rpc.status_pb2 import Status
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest, ReloadConfigResponse

from ml.release.model_config import Entry, read_config, with_entry
from ml.release.rpc import reload_request


def test_a_reload_is_the_same_bytes_as_the_message_that_needs_tensorflow(tmp_path):
    entry = Entry("clicks", "/models/clicks", (20261102001, 20261103001), {"stable": 20261103001})
    config = with_entry(read_config(tmp_path / "models.config"), entry)

    assert ReloadConfigRequest.FromString(reload_request(config)) == ReloadConfigRequest(config=config)


def test_a_refusal_is_read_from_the_answer():
    response = ReloadConfigResponse()
    response.status.error_code, response.status.error_message = 3, "no such version"

    status = Status.FromString(BytesValue.FromString(response.SerializeToString()).value)

    assert (status.code, status.message) == (3, "no such version")


def test_going_back_imports_neither_tensorflow_nor_mlflow():
    code = "import sys, ml.release.rollback; print({'tensorflow', 'mlflow'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "set()"
