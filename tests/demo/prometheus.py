"""Prometheus, Alertmanager and mtail as Debian has them, with the configuration of deploy/."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.demo.ports import free_port, listens
from tests.demo.process import ManagedProcess

DEPLOY = Path(__file__).parents[2] / "deploy"
HOST = "127.0.0.1"
START_SECONDS = 60
CALL_SECONDS = 30
PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool", "mtail")
WRITTEN_SECONDS = 15.0  # from one scrape to the next, as deploy/prometheus/prometheus.yml says
INSTALL = (
    "Prometheus, Alertmanager or mtail is missing: apt-get install prometheus prometheus-alertmanager mtail"
)


def is_monitoring_installed() -> bool:
    """Whether every program is there."""
    return all(shutil.which(program) for program in PROGRAMS)


@contextmanager
def running_mtail(home: Path, access_log: Path) -> Iterator[str]:
    """Follow a router's access log while the block runs.

    Yields:
        ``host:port`` of its metrics.
    """
    port = free_port()
    argv = [
        "mtail",
        "--progs",
        DEPLOY / "mtail",
        "--logs",
        access_log,
        "--address",
        HOST,
        "--port",
        str(port),
    ]
    argv += ["--emit_prog_label=false", "--logtostderr"]
    with ManagedProcess("mtail", argv, home / "mtail.log") as mtail:
        mtail.wait_until(lambda: listens(port), START_SECONDS)
        yield f"{HOST}:{port}"


@dataclass(frozen=True)
class Series:
    """One series over time.

    Attributes:
        labels: that tell it from others.
        points: seconds since the epoch → value.
    """

    labels: dict[str, str]
    points: dict[float, float]


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus.

    Attributes:
        address: ``http://host:port``.
        process: the server.
    """

    address: str
    process: ManagedProcess

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now: each has ``metric``, its labels, and ``value``, (time, text).

        Raises:
            httpx.HTTPStatusError: if it is no expression.
        """
        answer = httpx.get(f"{self.address}/api/v1/query", params={"query": expression}, timeout=CALL_SECONDS)
        answer.raise_for_status()
        samples: list[dict[str, Any]] = answer.json()["data"]["result"]
        return samples

    def values(self, expression: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The same as label values → value."""
        return {
            tuple(sample["metric"].get(label, "") for label in labels): float(sample["value"][1])
            for sample in self.query(expression)
        }

    def series(self, expression: str, span: tuple[float, float], step: float) -> dict[float, float]:
        """An expression of one series over time: seconds since the epoch → value, where there is one.

        Args:
            expression: what is asked for.
            span: from when to when, seconds since the epoch.
            step: seconds from one value to the next.

        Raises:
            httpx.HTTPStatusError: if it is no expression.
            ValueError: if it is more than one series.
        """
        found = self.all_series(expression, span, step)
        if len(found) > 1:
            raise ValueError(f"{expression} is {len(found)} series; expected one. Sum over their labels.")
        return found[0].points if found else {}

    def all_series(self, expression: str, span: tuple[float, float], step: float) -> list[Series]:
        """Every series of an expression over time; see `series`."""
        asked = {"query": expression, "start": str(span[0]), "end": str(span[1]), "step": str(step)}
        answer = httpx.post(f"{self.address}/api/v1/query_range", data=asked, timeout=CALL_SECONDS)
        return [
            Series(found["metric"], {float(moment): float(value) for moment, value in found["values"]})
            for found in answer.raise_for_status().json()["data"]["result"]
        ]


@contextmanager
def running_prometheus(
    home: Path,
    targets: Mapping[str, str],
    port: int | None = None,
    seconds: float = 1.0,
    at_once: bool = False,
) -> Iterator[Prometheus]:
    """Run Prometheus with the product's rules while the block runs; its data stays below ``home``.

    Args:
        home: of its configuration, data and log.
        targets: job of deploy/prometheus/prometheus.yml → ``host:port``. Other jobs are left out. The job
            ``alertmanager`` is told of alerts, too.
        port: a free one by default.
        seconds: from one scrape or evaluation to the next; a job that takes longer in deploy/ takes longer
            here in proportion.
        at_once: whether alerts fire as soon as their expressions hold, whatever their ``for`` says.
    """
    home.mkdir(parents=True, exist_ok=True)
    chosen = port or free_port()
    shutil.copytree(DEPLOY / "prometheus" / "rules", home / "rules", dirs_exist_ok=True)
    if at_once:
        for rules in (home / "rules").glob("*.yml"):
            rules.write_text(re.sub(r"^ +for: .*\n", "", rules.read_text(), flags=re.MULTILINE))
    (home / "prometheus.yml").write_text(yaml.safe_dump(_configuration(targets, seconds)))
    argv = ["prometheus", f"--config.file={home / 'prometheus.yml'}", f"--storage.tsdb.path={home / 'data'}"]
    argv += [f"--web.listen-address={HOST}:{chosen}"]
    address = f"http://{HOST}:{chosen}"
    with ManagedProcess("Prometheus", argv, home / "prometheus.log") as process:
        process.wait_until(lambda: listens(chosen) and _is_ready(address), START_SECONDS)
        yield Prometheus(address, process)


def _configuration(targets: Mapping[str, str], seconds: float) -> dict[str, Any]:
    written = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    faster = seconds / WRITTEN_SECONDS
    jobs = [
        {"job_name": job["job_name"], "static_configs": [{"targets": [targets[job["job_name"]]]}]}
        | {key: job[key] for key in ("metrics_path",) if key in job}
        | {key: _scaled(job[key], faster) for key in ("scrape_interval", "scrape_timeout") if key in job}
        for job in written["scrape_configs"]
        if job["job_name"] in targets
    ]
    told = [{"static_configs": [{"targets": [targets["alertmanager"]]}]}] if "alertmanager" in targets else []
    interval = _scaled(f"{WRITTEN_SECONDS:.0f}s", faster)
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": written["rule_files"],
        "alerting": {"alertmanagers": told},
        "scrape_configs": jobs,
    }


def _scaled(written: str, factor: float) -> str:
    return f"{int(float(written.removesuffix('s')) * 1000 * factor)}ms"


def _is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/-/ready", timeout=CALL_SECONDS).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
