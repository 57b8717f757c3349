"""Waiting for what an Airflow brings about, also for one that is too busy to answer."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from tests.demo.airflow_server import Airflow
from tests.demo.ports import free_port
from tests.demo.process import ManagedProcess


def test_a_question_that_nobody_answers_is_asked_again(tmp_path: Path) -> None:
    nobody, asked = f"http://127.0.0.1:{free_port()}", []

    def answers_the_second_time() -> bool:
        asked.append(nobody)
        return len(asked) > 1 or httpx.get(nobody).is_success

    living = [sys.executable, "-c", "import signal; signal.pause()"]
    with ManagedProcess("api-server", living, tmp_path / "server.log") as server:
        airflow = Airflow(nobody, "", "", {}, server, server)
        airflow.wait_until(answers_the_second_time, 60, "answering")

    assert asked == [nobody, nobody]
