"""Alertmanager as Debian has it, with the configuration of deploy/ and another address for Slack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.demo.process import ManagedProcess, free_port, listens
from tests.demo.prometheus import DEPLOY, HOST, START_SECONDS


@contextmanager
def running_alertmanager(home: Path, slack: str) -> Iterator[str]:
    """Run it while the block runs; its state stays below ``home``.

    Args:
        home: of its configuration, data and log.
        slack: the address of the webhook.

    Yields:
        Its ``host:port``.
    """
    home.mkdir(parents=True, exist_ok=True)
    secret = home / "slack_webhook_url"
    secret.write_text(slack)
    written = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    written["global"]["slack_api_url_file"] = str(secret.absolute())
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
