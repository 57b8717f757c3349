"""The model server over REST: which version a label really names, and predictions.

This face needs no TensorFlow, so reading the production pointer is a matter of milliseconds.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx

from ml.connections import ServingConnection
from ml.errors import Misconfigured, Unavailable
from ml.release.failures import NotServable

if TYPE_CHECKING:
    import numpy as np

TIMEOUT_SECONDS = 30.0

# What TensorFlow Serving's ServerCore says of a label that no config has set.
NO_SUCH_LABEL = "Unrecognized servable version label"


class RestServer:
    """One model on one model server."""

    def __init__(self, connection: ServingConnection, model: str) -> None:
        self._address = connection.rest
        self._model = model
        self._client = httpx.Client(base_url=connection.rest, timeout=TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def labelled_version(self, label: str) -> int | None:
        """The version that requests for this label are answered by; None if there is no such label.

        The metadata of a label names the version; the model's status does not know labels.

        Raises:
            Unavailable: if the server does not answer, or the label names a version that is not loaded.
            Misconfigured: if the server answers otherwise than a model server does.
        """
        answer = self._get(f"/v1/models/{self._model}/labels/{label}/metadata")
        if answer.status_code == httpx.codes.OK:
            return int(answer.json()["model_spec"]["version"])
        if NO_SUCH_LABEL in answer.text or not self._knows_model():
            return None
        if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.SERVICE_UNAVAILABLE):
            raise Unavailable(
                f"the label {label} of {self._model} at {self._address} names a version that is not loaded: "
                f"{_error(answer)}. It may be loading; if this stays, look at the model server's log."
            )
        raise self._strange(answer)

    def is_available(self, version: int) -> bool:
        """Whether the server answers requests for a version, by its number.

        Raises:
            Unavailable: if the server does not answer.
        """
        answer = self._get(f"/v1/models/{self._model}/versions/{version}")
        if answer.status_code != httpx.codes.OK:
            return False
        return any(status["state"] == "AVAILABLE" for status in answer.json()["model_version_status"])

    def predict(self, version: int, columns: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        """Scores of rows, asked of a version by its number.

        Args:
            version: must be loaded.
            columns: input name → [n].

        Returns:
            float64 [n].

        Raises:
            Unavailable: if the server does not answer.
            NotServable: if it refuses the request.
        """
        import numpy as np

        inputs = {name: values.tolist() for name, values in columns.items()}
        # A missing number is NaN, which TensorFlow Serving reads and httpx's own encoder refuses to write.
        body = json.dumps({"signature_name": "serving_default", "inputs": inputs})
        answer = self._send("POST", f"/v1/models/{self._model}/versions/{version}:predict", body)
        if answer.status_code != httpx.codes.OK:
            raise NotServable(
                f"version {version} of {self._model} refused a request of held-out rows over REST with "
                f"status {answer.status_code}: {_error(answer)}. Compare the model's signature with the rows."
            )
        return np.asarray(answer.json()["outputs"], np.float64).reshape(-1)

    def _knows_model(self) -> bool:
        answer = self._get(f"/v1/models/{self._model}")
        if answer.status_code == httpx.codes.OK:
            return True
        # A 404 of any other server must not be taken for "nothing is served yet".
        if answer.status_code == httpx.codes.NOT_FOUND and answer.text.lstrip().startswith("{"):
            return False
        raise self._strange(answer)

    def _get(self, path: str) -> httpx.Response:
        return self._send("GET", path)

    def _send(self, method: str, path: str, body: str | None = None) -> httpx.Response:
        try:
            return self._client.request(method, path, content=body)
        except httpx.TransportError as error:
            raise Unavailable(
                f"the model server at {self._address} did not answer over REST "
                f"({type(error).__name__}: {error}). Is it running, and is the serving connection right?"
            ) from error

    def _strange(self, answer: httpx.Response) -> Misconfigured | Unavailable:
        message = (
            f"{answer.request.url} answered with status {answer.status_code}: {_error(answer)}. Expected "
            "TensorFlow Serving's REST API: check the serving connection's address."
        )
        return Unavailable(message) if answer.is_server_error else Misconfigured(message)


def _error(answer: httpx.Response) -> str:
    return answer.text.strip()[:500]
