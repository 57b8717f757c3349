"""The model server over REST: which version a label really names, states of versions, and predictions.

This face needs no TensorFlow, whose import takes seconds: moving a label is a matter of milliseconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx
from tenacity import RetryError, Retrying, retry_if_exception_type, retry_if_result, stop_after_delay
from tenacity.wait import wait_exponential

from ml.connections import ServingConnection
from ml.errors import Misconfigured, RetrainingError, Unavailable
from ml.release.failures import LoadFailed, NotLoaded, NotServable

if TYPE_CHECKING:
    import numpy as np

TIMEOUT_SECONDS = 30.0

AVAILABLE = "AVAILABLE"
# What TensorFlow Serving's ServerCore says of a label that no config has set.
NO_SUCH_LABEL = "Unrecognized servable version label"
# A failure of an earlier try stays in the states until the server has looked at its directories again,
# once a second by default.
OLD_NEWS_SECONDS = 5.0


@dataclass(frozen=True)
class VersionState:
    """Where a version stands.

    Attributes:
        name: START, LOADING, AVAILABLE, UNLOADING or END.
        error: the server's message; empty if there is none.
    """

    name: str
    error: str

    @property
    def failed(self) -> bool:
        """Whether loading was given up."""
        return self.name == "END" and bool(self.error)


class RestServer:
    """One model on one model server."""

    def __init__(self, connection: ServingConnection, model: str, patience: float = TIMEOUT_SECONDS) -> None:
        """Open it.

        Args:
            connection: the server.
            model: the model's name.
            patience: for how many seconds it may be silent before it counts as `Unavailable`.
        """
        self._address = connection.rest
        self._model = model
        self._client = httpx.Client(base_url=connection.rest, timeout=patience)

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
            NotLoaded: if the label names a version that is not loaded.
            Unavailable: if the server does not answer.
            Misconfigured: if the server answers otherwise than a model server does.
        """
        answer = self._get(f"/v1/models/{self._model}/labels/{label}/metadata")
        if answer.status_code == httpx.codes.OK:
            return int(answer.json()["model_spec"]["version"])
        if NO_SUCH_LABEL in answer.text or self._states() is None:
            return None
        if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.SERVICE_UNAVAILABLE):
            raise NotLoaded(
                f"the label {label} of {self._model} at {self._address} names a version that is not loaded: "
                f"{_error(answer)}. It may be loading; if this stays, look at the model server's log, or go "
                "back to another version."
            )
        raise self._strange(answer)

    def states(self) -> dict[int, VersionState]:
        """Version → state, of all versions that the server has heard of.

        Raises:
            Unavailable: if the server does not answer.
            Misconfigured: if the server answers otherwise than a model server does.
        """
        return self._states() or {}

    def is_available(self, version: int) -> bool:
        """Whether the server answers requests for a version, by its number. Raises as `states`."""
        state = self.states().get(version)
        return state is not None and state.name == AVAILABLE

    def await_available(self, version: int, seconds: float, before: VersionState | None) -> None:
        """Wait until a version is AVAILABLE.

        Args:
            version: which.
            seconds: how long at most.
            before: its state before it was asked for. The failure of an earlier try is not this one's.

        Raises:
            LoadFailed: with the server's message, if it gives up.
            Unavailable: if it takes longer.
        """
        started = time.monotonic()

        def is_available() -> bool:
            state = self.states().get(version)
            if state and state.failed and (state != before or time.monotonic() > started + OLD_NEWS_SECONDS):
                raise self._load_failed(version, state)
            return state is not None and state.name == AVAILABLE

        retrying = Retrying(
            stop=stop_after_delay(seconds),
            wait=wait_exponential(0.05, max=1.0),
            retry=retry_if_result(lambda available: not available) | retry_if_exception_type(Unavailable),
        )
        try:
            retrying(is_available)
        except RetryError as error:
            raise Unavailable(
                f"version {version} of {self._model} was not AVAILABLE after {seconds:g} s; the model "
                f"server at {self._address} has {self._described()}. Look at its log, or raise "
                "serving.ready_seconds."
            ) from error

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

    def _states(self) -> dict[int, VersionState] | None:
        """None if the server does not know the model."""
        answer = self._get(f"/v1/models/{self._model}")
        if answer.status_code == httpx.codes.OK:
            told = answer.json().get("model_version_status", [])
            return {int(status["version"]): _state(status) for status in told}
        # A 404 of any other server must not be taken for "nothing is served yet".
        if answer.status_code == httpx.codes.NOT_FOUND and answer.text.lstrip().startswith("{"):
            return None
        raise self._strange(answer)

    def _load_failed(self, version: int, state: VersionState) -> LoadFailed:
        return LoadFailed(
            f"the model server at {self._address} could not load version {version} of {self._model}: "
            f"{state.error}. Users are still answered by the version before. Mend the model, or give the "
            "server what it lacks."
        )

    def _described(self) -> str:
        try:
            states = self.states()
        except RetrainingError as error:
            return f"not answered ({error})"
        return ", ".join(f"{version} {state.name}" for version, state in sorted(states.items())) or "none"

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


def _state(told: Mapping[str, Any]) -> VersionState:
    status = told["status"]
    return VersionState(told["state"], "" if status["error_code"] == "OK" else status["error_message"])
