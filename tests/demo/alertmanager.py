"""Alertmanager as Debian has it, with the configuration of deploy/ and another address for Slack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.demo.ports import free_port, listens
from tests.demo.process import ManagedProcess
from tests.demo.prometheus import DEPLOY, HOST, START_SECONDS


@contextmanager
def running_alertmanager(home: Path, slack: str, pace: float = 1.0) -> Iterator[str]:
    """Run it while the block runs; its state stays below ``home``.

    Args:
        home: of its configuration, data and log.
        slack: the address of the webhook.
        pace: how many times sooner than deploy/ says it tells of an alert, and of its end.

    Yields:
        Its ``host:port``.
    """
    home.mkdir(parents=True, exist_ok=True)
    secret = home / "slack_webhook_url"
    secret.write_text(slack)
    written = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    written["global"]["slack_api_url_file"] = str(secret.absolute())
    for route in (written["route"], *written["route"]["routes"]):
        route.update(
            {key: _sooner(route[key], pace) for key in ("group_wait", "group_interval") if key in route}
        )
    (home / "alertmanager.yml").write_text(yaml.safe_dump(written))
    address = f"{HOST}:{free_port()}"
    argv = [
        "prometheus-alertmanager",
        f"--config.file={home / 'alertmanager.yml'}",
        f"--storage.path={home / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with ManagedProcess("Alertmanager", argv, home / "alertmanager.log") as process:
        process.wait_until(lambda: listens(int(address.partition(":")[2])), START_SECONDS)
        yield address


def _sooner(written: str, pace: float) -> str:
    seconds = int(written[:-1]) * {"s": 1, "m": 60}[written[-1]]
    return f"{seconds * 1000 / pace:.0f}ms"
