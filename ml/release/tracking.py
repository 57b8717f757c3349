"""A client of the MLflow server that is quiet, patient for seconds only, and sorts what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from ml.connections import MlflowConnection
from ml.environment import environment
from ml.errors import Misconfigured, RetrainingError, Unavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from requests import RequestException

Patience = Literal["long", "short", "none"]

# MLflow's client takes these from the environment and from nowhere else, at every request. Its own
# defaults would wait for minutes on a dead server, print links and progress bars, and report its use.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
RETRIES, SECONDS = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"
PATIENCE: dict[Patience, dict[str, str]] = {
    "long": {RETRIES: "3", SECONDS: "60"},
    # Of who holds the lock of users' own server: MLflow may hang, and a roll-back waits for that lock.
    "short": {RETRIES: "1", SECONDS: "10"},
    # Where a person waits, and the registry may as well follow later.
    "none": {RETRIES: "0", SECONDS: "10"},
}
USERNAME, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
REFUSED = (401, 403)
WRONG_ADDRESS = 404


@contextmanager
def open_mlflow(connection: MlflowConnection, patience: Patience = "long") -> Iterator[MlflowClient]:
    """A client for the time of the block; no tracking address of the whole process is set.

    Args:
        connection: the server.
        patience: how long an answer is waited for, and how often it is asked again; see ``PATIENCE``.

    Raises:
        Unavailable: if the server does not answer.
        Misconfigured: if it refuses the credentials.
    """
    with environment({**SETTINGS, **PATIENCE[patience], **_credentials(connection)}):
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from requests import RequestException

        try:
            yield MlflowClient(tracking_uri=connection.uri, registry_uri=connection.uri)
        except (MlflowException, RequestException) as error:
            if (failure := _failure(error, connection.uri)) is None:
                raise
            raise failure from error


def _failure(error: MlflowException | RequestException, uri: str) -> RetrainingError | None:
    """What a failure means for the caller; None if it is a fault of ours."""
    from mlflow.exceptions import RestException

    status = _status(error)
    if status in REFUSED:
        return Misconfigured(
            f"the MLflow server at {uri} refused the request: {error} Check user name and password of the "
            "MLflow connection."
        )
    if status == WRONG_ADDRESS and not isinstance(error, RestException):
        return Misconfigured(f"there is no MLflow server at {uri}: {error} Check the MLflow connection.")
    if status < 500:
        return None
    return Unavailable(
        f"the MLflow server at {uri} did not answer as expected: {error} Is it running, and is the MLflow "
        "connection right?"
    )


def _status(error: MlflowException | RequestException) -> int:
    from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS, MlflowException

    if isinstance(error, MlflowException):
        return ERROR_CODE_TO_HTTP_STATUS.get(error.error_code, 500)
    # Artifacts go through requests as they are; with no response at all the network has failed.
    return 503 if error.response is None else error.response.status_code


def _credentials(connection: MlflowConnection) -> dict[str, str]:
    given = {USERNAME: connection.username, PASSWORD: connection.password}
    return {
        name: value if isinstance(value, str) else value.get_secret_value()
        for name, value in given.items()
        if value is not None
    }
