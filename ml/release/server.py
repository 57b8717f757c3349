"""One model on one model server: its two faces, and its entry in the config file that they share."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from ml.connections import ServingConnection
from ml.release.failures import NotLoaded
from ml.release.model_config import Entry, read_config, read_entry, with_entry, write_config
from ml.release.rest import RestServer
from ml.release.rpc import RpcServer

log = logging.getLogger(__name__)


class ModelServer:
    """What a publication talks to. Its config is changed under the publication lock only.

    Attributes:
        model: the model's name.
        rest: the REST face.
        rpc: the gRPC face.
    """

    def __init__(self, connection: ServingConnection, model: str) -> None:
        self.model = model
        self.rest = RestServer(connection, model)
        self.rpc = RpcServer(connection, model)
        self._connection = connection
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self.rest)
        self._open.enter_context(self.rpc)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def directory(self, version: int) -> Path:
        """A version's directory as we see it."""
        return self._connection.version_directory(self.model, version)

    def entry(self) -> Entry:
        """What the config file says of this model."""
        base_path = self._connection.server_models_dir / self.model
        return read_entry(read_config(self._connection.config_file), self.model, str(base_path))

    def named_version(self, label: str) -> int | None:
        """The version that a label names, loaded or not; None if there is no such label.

        One that is not loaded is taken from the config, for the server names only what it can answer by.

        Raises:
            Unavailable: if the server does not answer.
            Misconfigured: if it answers otherwise than a model server does.
        """
        try:
            return self.rest.labelled_version(label)
        except NotLoaded as error:
            log.warning("%s", error)
            return self.entry().labels.get(label)

    def apply(self, entry: Entry, seconds: float) -> None:
        """Say this of the model in the config file, and make the server read it now.

        The file comes first: a server that restarts in between reads the new config by itself.

        Raises:
            Unavailable: if the server does not answer within ``seconds``.
            NotServable: if it refuses the config.
        """
        config = with_entry(read_config(self._connection.config_file), entry)
        write_config(self._connection.config_file, config)
        self.rpc.reload(config, seconds)
