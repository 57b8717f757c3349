"""The model server's stand-in inside this process: the real core and faces, but nobody waits for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from tensorflow_serving.apis.model_pb2 import ModelSpec

from ml.artifact import digest_file
from ml.connections import ServingConnection
from tests.demo.model_server.config import read_model_server_config
from tests.demo.model_server.core import CoreOptions, ServerCore
from tests.demo.model_server.grpc_service import Core, start_grpc
from tests.demo.model_server.metrics import Metrics
from tests.demo.model_server.rest import RestApi, RestServer
from tests.demo.model_server.servable import Servable
from tests.demo.model_server.status import StatusError
from tests.demo.ports import free_port

HOST = "127.0.0.1"
OPTIONS = CoreOptions(max_num_load_retries=0, allow_version_labels_for_unavailable_models=True)


class CoreAtOnce(ServerCore[Servable]):
    """Loads and unloads on the caller's thread, before it answers a reload."""

    def _serve(self, models: Sequence[Any]) -> None:
        self._is_serving = True
        self._source.configure(models)
        self._source.poll()
        while self._lifecycle.advance():
            pass


class ServerAtOnce:
    """A model server that can be restarted in no time, and remembers what its labels ever named.

    Attributes:
        connection: how to reach it.
        named: label → what it has named of the model in use, one version after the other.
    """

    def __init__(self, connection: ServingConnection, load: Callable[[Path], Servable]) -> None:
        self.connection = connection
        self.named: dict[str, list[int]] = defaultdict(list)
        self._load = load
        self._core = CoreAtOnce(load, OPTIONS)

    def find(self, spec: Any) -> tuple[int, Servable]:
        """See `ServerCore.find`."""
        return self._core.find(spec)

    def states(self, spec: Any) -> Any:
        """See `ServerCore.states`."""
        return self._core.states(spec)

    def reload(self, config: Any) -> None:
        """See `ServerCore.reload`."""
        self._core.reload(config)
        for model in config.model_config_list.config:
            for label in model.version_labels:
                version = self.labelled(model.name, label)
                if version is not None and self.named[label][-1:] != [version]:
                    self.named[label].append(version)

    def restart(self) -> None:
        """Begin anew from what the config file says."""
        self._core = CoreAtOnce(self._load, OPTIONS)
        self.reload(read_model_server_config(self.connection.config_file))

    def forget(self) -> None:
        """Begin anew from nothing, as another server would."""
        self.connection.config_file.write_text("model_config_list {}")
        self._core = CoreAtOnce(self._load, OPTIONS)
        self.named.clear()

    def labelled(self, model: str, label: str = "stable") -> int | None:
        """The version that those who name the label are answered by, if they are answered."""
        try:
            return self.find(ModelSpec(name=model, version_label=label))[0]
        except StatusError:
            return None


def load_once(load: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same loader, which reads a SavedModel once wherever it lies."""
    loaded: dict[str, Any] = {}

    def find_or_load(path: str | Path) -> Any:
        digest = digest_file(Path(path) / "saved_model.pb")
        if digest not in loaded:
            loaded[digest] = load(path)
        return loaded[digest]

    return find_or_load


@contextmanager
def serving_at_once(home: Path) -> Iterator[ServerAtOnce]:
    """Answer on free ports until the end of the block, with the models below ``home``."""
    grpc_port, rest_port = free_port(), free_port()
    connection = ServingConnection(
        rest=f"http://{HOST}:{rest_port}",
        grpc=f"{HOST}:{grpc_port}",
        models_dir=home,
        server_models_dir=home,
        config_file=home / "models.config",
    )
    server, metrics = ServerAtOnce(connection, load_once(Servable.load)), Metrics()
    grpc_face = start_grpc(cast(Core, server), metrics, connection.grpc)
    rest_face = RestServer(RestApi(cast(Core, server), metrics), metrics, None)
    rest_face.start(HOST, rest_port)
    try:
        yield server
    finally:
        rest_face.stop()
        grpc_face.stop(None).wait()
