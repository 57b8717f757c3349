"""The router and Prometheus as docker-compose.yaml runs them: what their files name is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.demo.ports import free_port, listens
from tests.demo.process import ManagedProcess
from tests.demo.prometheus import INSTALL as INSTALL_MONITORING
from tests.demo.prometheus import is_monitoring_installed, running_mtail
from tests.demo.router import CONFIGURATION, INSTALL, SITE, is_router_installed
from tests.deploy.conftest import ROOT, mounts

Services = dict[str, dict[str, Any]]
SECONDS = 60
needs_nginx = pytest.mark.skipif(not is_router_installed(), reason=INSTALL)


def test_the_router_asks_the_two_model_servers_and_listens_where_it_is_published(services: Services) -> None:
    site = (CONFIGURATION / "site.conf").read_text()

    upstreams = dict(re.findall(r"upstream (\w+) {.* server ([\w-]+:\d+) resolve;", site))
    assert upstreams == {
        "stable_rest": "tensorflow-serving:8501",
        "stable_grpc": "tensorflow-serving:8500",
        "canary_rest": "tensorflow-serving-canary:8501",
        "canary_grpc": "tensorflow-serving-canary:8500",
    }
    assert {server.split(":")[0] for server in upstreams.values()} <= services.keys()
    published = {port.rsplit(":", 1)[1] for port in services["router"]["ports"]}
    assert set(re.findall(r"listen (\d+)", site)) == published
    assert set(re.findall(r"set \$routes (/models)/", site)) <= mounts(services["router"]).keys()


def test_every_target_of_prometheus_is_a_service_that_listens_there(services: Services) -> None:
    jobs = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in jobs for static in job["static_configs"] for target in static["targets"]}

    assert {target.split(":")[0] for target in targets} - {"127.0.0.1"} <= services.keys()
    assert "--port=3903" in services["mtail"]["command"]
    assert "0.0.0.0:9108" in services["metrics"]["command"]


def test_mtail_reads_the_log_that_the_router_writes(services: Services) -> None:
    [log] = [flag for flag in services["mtail"]["command"] if flag.startswith("--logs=")]
    prefix = services["router"]["command"][-1]

    assert log == f"--logs={prefix}/access.log"
    assert mounts(services["router"])[prefix] == ("router", "rw")
    assert mounts(services["mtail"])[prefix] == ("router", "ro")


def test_tasks_read_the_record_of_answers_that_the_router_writes(services: Services) -> None:
    scheduler = services["airflow-scheduler"]
    serving = json.loads(scheduler["environment"]["AIRFLOW_CONN_SERVING_DEFAULT"])
    prefix = services["router"]["command"][-1]

    assert serving["extra"]["predictions_dir"] == f"{prefix}/predictions"
    assert mounts(scheduler)[prefix] == ("router", "ro")


@needs_nginx
def test_nginx_takes_the_configuration(tmp_path: Path) -> None:
    """But for `resolve`, which Debian 12's nginx does not know, and the names, which only compose does."""
    shutil.copytree(CONFIGURATION, tmp_path, dirs_exist_ok=True)
    (tmp_path / "temp").mkdir()
    site = (CONFIGURATION / "site.conf").read_text().replace(" resolve;", ";")
    (tmp_path / "site.conf").write_text(re.sub(r"tensorflow-serving(-canary)?:", "127.0.0.1:", site))

    checked = subprocess.run(
        ["nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-e", "stderr"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr


@contextmanager
def put_aside(home: Path, largest: int, seconds: float) -> Iterator[tuple[ManagedProcess, int, Path]]:
    """The router as run.sh runs it, without model servers: the process, its REST port and its prefix."""
    etc, prefix, port = home / "etc", home / "prefix", free_port()
    shutil.copytree(CONFIGURATION, etc)
    (prefix / "predictions").mkdir(parents=True)
    nowhere = f"127.0.0.1:{free_port()}"
    addresses = {f"{track}_{face}": nowhere for track in ("stable", "canary") for face in ("rest", "grpc")}
    ports = {"host": "127.0.0.1", "rest_port": port, "grpc_port": free_port(), "patience_ms": 1000}
    (etc / "site.conf").write_text(SITE.format(**addresses, **ports, routes=home))
    if os.geteuid() == 0:
        # Compose's nginx is no root. Root's workers would be nobody, who cannot begin a new log here.
        (etc / "nginx.conf").write_text("user root;\n" + (etc / "nginx.conf").read_text())
    argv = [etc / "run.sh", prefix, str(largest), str(seconds)]
    with ManagedProcess("router", argv, home / "run.log") as router:
        router.wait_until(lambda: listens(port), SECONDS)
        yield router, port, prefix


@needs_nginx
@pytest.mark.integration
def test_a_large_access_log_is_put_aside_and_another_is_begun(tmp_path: Path) -> None:
    with put_aside(tmp_path, largest=100, seconds=0.2) as (router, port, prefix):
        log, aside = prefix / "access.log", prefix / "access.log.1"
        old, new = (prefix / "predictions" / f"clicks-{day}T07.jsonl" for day in ("2026-03-01", "2026-03-10"))
        for file in (new, old):
            file.write_text("{}\n")
        os.utime(old, (0, 0))
        assert httpx.get(f"http://127.0.0.1:{port}/health").json() == {"status": "ok"}
        for trace in ("first", "second"):
            ask(port, trace)
            router.wait_until(lambda trace=trace: traces(aside) == [trace] and traces(log) == [], SECONDS)
        router.wait_until(lambda: not old.exists(), SECONDS)
        router.stop()

    assert new.exists()
    assert not listens(port)


@needs_nginx
@pytest.mark.integration
@pytest.mark.skipif(not is_monitoring_installed(), reason=INSTALL_MONITORING)
def test_no_answer_is_lost_to_mtail_where_the_log_is_put_aside_among_them(tmp_path: Path) -> None:
    """By seconds between two looks, as its own are a quarter of one; the product looks once a minute."""
    burst, rounds = 40, 3
    with (
        put_aside(tmp_path, largest=burst * 300 // 2, seconds=3.0) as (router, port, prefix),
        running_mtail(tmp_path, prefix / "access.log") as mtail,
    ):
        aside = prefix / "access.log.1"
        for number in range(rounds):
            for request in range(burst):
                ask(port, f"{number}-{request}")
            asked = burst * (number + 1)
            router.wait_until(lambda asked=asked: counted(mtail) == asked, SECONDS)
            begun = f"{number}-"
            router.wait_until(
                lambda begun=begun: any(trace.startswith(begun) for trace in traces(aside)), SECONDS
            )

        assert counted(mtail) == burst * rounds


def counted(mtail: str) -> float:
    families = text_string_to_metric_families(httpx.get(f"http://{mtail}/metrics").text)
    samples = (sample for family in families for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name == "router_requests_total")


def ask(port: int, trace: str) -> None:
    answer = httpx.post(f"http://127.0.0.1:{port}/v1/models/clicks:predict", headers={"X-Request-Id": trace})
    assert answer.status_code == 502


def traces(log: Path) -> list[str]:
    return [json.loads(line)["trace"] for line in log.read_text().splitlines()] if log.exists() else []
