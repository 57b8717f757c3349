"""The two small programs that Airflow's containers run: first the initialisation, then the health check."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from deploy.airflow import is_healthy
from deploy.airflow.initialise import write_passwords

Serve = Callable[[bytes], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start an api-server whose health report is the given bytes; gives its address."""
    started: list[tuple[HTTPServer, Thread]] = []

    def start(report: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/api/v2/monitor/health" else 404)
                self.end_headers()
                self.wfile.write(report)

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever)
        thread.start()
        started.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


def report(**statuses: str | None) -> bytes:
    return json.dumps({part: {"status": status} for part, status in statuses.items()}).encode()


def test_a_part_with_a_heartbeat_is_healthy(serve: Serve) -> None:
    assert is_healthy.main(serve(report(scheduler="healthy")), "scheduler") is None


def test_a_part_whose_heartbeat_is_late_is_not(serve: Serve) -> None:
    address = serve(report(scheduler="unhealthy", metadatabase="healthy"))

    assert is_healthy.main(address, "scheduler") == "scheduler is unhealthy"


@pytest.mark.parametrize("body", [report(triggerer=None), report()], ids=["null", "absent"])
def test_a_part_that_never_started_is_not(serve: Serve, body: bytes) -> None:
    assert is_healthy.main(serve(body), "triggerer") == "triggerer is not running"


def test_an_answer_that_is_no_report_is_not(serve: Serve) -> None:
    assert "gave no health report" in str(is_healthy.main(serve(b"<html>"), "scheduler"))


def test_a_server_that_does_not_answer_is_not(serve: Serve) -> None:
    address = serve(report(scheduler="healthy"))

    assert "404" in str(is_healthy.main(f"{address}/elsewhere", "scheduler"))


def test_passwords_are_readable_by_airflow_only_and_the_last_ones_count(tmp_path: Path) -> None:
    file = tmp_path / "passwords.json"

    write_passwords(file, {"admin": "first"})
    write_passwords(file, {"admin": 'a "second" one'})

    assert json.loads(file.read_text()) == {"admin": 'a "second" one'}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["passwords.json"]
