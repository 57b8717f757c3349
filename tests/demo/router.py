"""The router as a process: nginx with deploy/router's own configuration in front of real model servers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ml.release.router import ROUTES
from tests.demo.model_server.process import HOST
from tests.demo.ports import free_port, listens
from tests.demo.process import ManagedProcess

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "router"
START_SECONDS = 60
RECORD = "predictions"
JAVASCRIPT_MODULE = Path("/usr/lib/nginx/modules/ngx_http_js_module.so")
INSTALL = "The router is nginx with its JavaScript module: apt-get install nginx libnginx-mod-http-js"

SITE = """
upstream stable_rest {{ server {stable_rest}; keepalive 32; }}
upstream stable_grpc {{ server {stable_grpc}; keepalive 32; }}
upstream canary_rest {{ server {canary_rest}; keepalive 32; }}
upstream canary_grpc {{ server {canary_grpc}; keepalive 32; }}
server {{
    listen {host}:{rest_port};
    set $routes {routes};
    proxy_read_timeout {patience_ms}ms;
    include rest.conf;
}}
server {{
    listen {host}:{grpc_port} http2;
    set $routes {routes};
    grpc_read_timeout {patience_ms}ms;
    include grpc.conf;
}}
"""
# A busy machine's canary may take its time; the product waits for it for a second.
PATIENCE_SECONDS = 30.0


class ModelServer(Protocol):
    """Where a model server is."""

    @property
    def rest(self) -> str:
        """Its REST address, ``http://host:port``."""

    @property
    def grpc(self) -> str:
        """Its gRPC address, ``host:port``."""


@dataclass(frozen=True)
class Router:
    """A running router.

    Attributes:
        process: nginx's master.
        rest: its REST address, ``http://host:port``.
        grpc: its gRPC address, ``host:port``.
        access_log: one JSON object for every prediction.
        predictions: directory of the record of good answers, where the route asks for one.
    """

    process: ManagedProcess
    rest: str
    grpc: str
    access_log: Path
    predictions: Path


def is_router_installed() -> bool:
    """Whether nginx and its JavaScript module are there."""
    return shutil.which("nginx") is not None and JAVASCRIPT_MODULE.exists()


@contextmanager
def running_router(
    home: Path,
    models: Path,
    stable: ModelServer,
    canary: ModelServer | None = None,
    patience: float = PATIENCE_SECONDS,
    written: Path = CONFIGURATION,
) -> Iterator[Router]:
    """Run nginx with the product's configuration on free ports of 127.0.0.1.

    The share of the canary is set by `ml.release.router.set_share`, before or while it runs.

    Args:
        home: where its configuration, its log and its temporary files go.
        models: the directory that the model servers share with us; routes are read below it.
        stable: the model server of the stable track.
        canary: a second model server; by default ``stable`` has both tracks.
        patience: seconds that the canary is waited for before stable is asked.
        written: its configuration, by default the product's.
    """
    home, models = home.absolute(), models.absolute()
    shutil.copytree(written, home, dirs_exist_ok=True)
    for directory in ("temp", RECORD):
        (home / directory).mkdir(exist_ok=True)
    ports = {"rest_port": free_port(), "grpc_port": free_port()}
    settings = {"host": HOST, "routes": models / ROUTES, "patience_ms": int(patience * 1000)}
    (home / "site.conf").write_text(SITE.format(**_addresses(stable, canary), **ports, **settings))
    argv = ["nginx", "-p", home, "-c", home / "nginx.conf", "-e", "stderr", "-g", _directives()]
    with ManagedProcess("router", argv, home / "nginx.log") as process:
        process.wait_until(lambda: all(map(listens, ports.values())), START_SECONDS)
        yield Router(
            process,
            f"http://{HOST}:{ports['rest_port']}",
            f"{HOST}:{ports['grpc_port']}",
            home / "access.log",
            home / RECORD,
        )


def _addresses(stable: ModelServer, canary: ModelServer | None) -> dict[str, str]:
    servers = {"stable": stable, "canary": canary or stable}
    rest = {f"{track}_rest": server.rest.removeprefix("http://") for track, server in servers.items()}
    return rest | {f"{track}_grpc": server.grpc for track, server in servers.items()}


def _directives() -> str:
    """Root's workers would be nobody, who cannot read what a test has written."""
    user = "user root; " if os.geteuid() == 0 else ""
    return f"{user}daemon off;"
