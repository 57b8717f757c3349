"""The servers of a canary beside those of the nights: model server, router, and all that watches them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.demo import prometheus, router
from tests.demo.alertmanager import running_alertmanager
from tests.demo.model_server.process import REPOSITORY, ModelServerProcess, running_model_server
from tests.demo.ports import free_port, listens
from tests.demo.process import ManagedProcess
from tests.demo.prometheus import Prometheus, running_mtail, running_prometheus
from tests.demo.router import Router, running_router
from tests.demo.slack import Slack, running_slack
from tests.demo.stack import (
    Services,
    airflow_variables,
    empty_model_config,
    http_connection,
    serving_extra,
)

CANARY_CONFIG = "canary.config"
START_SECONDS = 60


@dataclass(frozen=True)
class Tracks:
    """Where the servers of a canary are.

    Attributes:
        canary: its model server.
        config: its model config file.
        router: in front of both model servers.
        prometheus: what both tracks answer, and how the pipelines stand.
        slack: what people are told.
    """

    canary: ModelServerProcess
    config: Path
    router: Router
    prometheus: Prometheus
    slack: Slack

    def airflow_connections(self) -> dict[str, str]:
        """As variables that Airflow reads Connections from."""
        extra = serving_extra(self.canary, self.config)
        return airflow_variables(
            SERVING_CANARY=http_connection(self.canary.rest, extra),
            PROMETHEUS=http_connection(self.prometheus.address),
            SLACK={"conn_type": "slackwebhook", "password": self.slack.address},
        )


def what_is_missing() -> str:
    """What to install before it can run; empty if nothing."""
    lacking = [] if router.is_router_installed() else [router.INSTALL]
    lacking += [] if prometheus.is_monitoring_installed() else [prometheus.INSTALL]
    return " ".join(f"{sentence}." for sentence in lacking)


@contextmanager
def running_tracks(
    home: Path,
    services: Services,
    settings: Mapping[str, str],
    flags: Sequence[str] = (),
    patience: float = router.PATIENCE_SECONDS,
) -> Iterator[Tracks]:
    """Run them while the block runs; state and logs stay in ``home``.

    Args:
        home: RETRAIN_HOME.
        services: of the nights.
        settings: variables with the pipeline's settings.
        flags: further ones of the canary's model server.
        patience: seconds that the router waits for the canary.
    """
    below, config = home / "tracks", empty_model_config(services.models / CANARY_CONFIG)
    with (
        running_slack() as slack,
        running_model_server(config, home / "logs" / "canary-server.log", flags) as canary,
        running_router(below / "router", services.models, services.serving, canary, patience) as front,
        running_mtail(home / "logs", front.access_log) as mtail,
        running_metrics(home, services, {**settings, **command_line_connection(canary, config)}) as metrics,
        running_alertmanager(below / "alertmanager", slack.address) as alerts,
        running_prometheus(
            below / "prometheus", {"router": mtail, "retraining": metrics, "alertmanager": alerts}
        ) as watching,
    ):
        yield Tracks(canary, config, front, watching, slack)


def command_line_connection(canary: ModelServerProcess, config: Path) -> dict[str, str]:
    """The connection to the canary's server as ``python -m ml`` reads it."""
    connection = {"rest": canary.rest, **serving_extra(canary, config)}
    return {"RETRAIN_SERVING_CANARY": json.dumps(connection)}


@contextmanager
def running_metrics(home: Path, services: Services, settings: Mapping[str, str]) -> Iterator[str]:
    """Run ``python -m ml metrics`` while the block runs.

    Yields:
        Its ``host:port``.
    """
    port = free_port()
    environment = {
        "RETRAIN_HOME": str(home.absolute()),
        **services.command_line_connections(),
        **settings,
    }
    argv = [sys.executable, "-m", "ml", "metrics", "--listen", f"127.0.0.1:{port}"]
    log = home / "logs" / "metrics.log"
    with ManagedProcess("metrics", argv, log, environment, cwd=REPOSITORY) as process:
        process.wait_until(lambda: listens(port), START_SECONDS)
        yield f"127.0.0.1:{port}"
