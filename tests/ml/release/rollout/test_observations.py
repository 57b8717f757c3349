"""What a counter has grown by during a trial, as promtool evaluates it over scrapes every 15 seconds."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml.connections import PrometheusConnection
from ml.release.rollout.observations import STABLE, Reading, observe
from tests.demo.ports import free_port
from tests.demo.prometheus import INSTALL, is_monitoring_installed

# promtool's time begins at 0. Ten minutes of another canary's trial, then ten of this one's.
START = datetime.fromtimestamp(0, timezone.utc)
SINCE, UNTIL = START + timedelta(minutes=10, seconds=1), START + timedelta(minutes=20)
# So many scrapes come before the trial, and so many during it.
BEFORE, DURING = 41, 40

ALIVE = f"1x{BEFORE + DURING}"


class Asked:
    """In the place of Prometheus: remembers what it is asked, and has no answer."""

    def __init__(self) -> None:
        self.expressions: list[str] = []

    def query(self, expression: str, at: datetime) -> list[dict[str, Any]]:
        assert at == UNTIL
        self.expressions.append(expression)
        return []


@pytest.fixture
def expression() -> str:
    """What Prometheus is asked for the requests of a track."""
    asked = Asked()
    Reading(asked, "clicks", SINCE, UNTIL).answers(STABLE)  # type: ignore[arg-type]
    return asked.expressions[0]


def check(home: Path, expression: str, scraped: dict[str, dict[str, str]], grown: dict[str, float]) -> None:
    """Let promtool compare the growth of each outcome with what is expected.

    Args:
        home: of the file that promtool reads.
        expression: what is asked at the end of the trial.
        scraped: instance → ``up`` or an outcome → values, as promtool writes them; ``_`` for no scrape.
        grown: outcome → expected growth.
    """
    series = [
        {"series": _series(name, instance), "values": values}
        for instance, parts in scraped.items()
        for name, values in parts.items()
    ]
    samples = [{"labels": f'{{outcome="{outcome}"}}', "value": value} for outcome, value in grown.items()]
    asked = {"expr": expression, "eval_time": "20m", "exp_samples": samples}
    test = {"interval": "15s", "input_series": series, "promql_expr_test": [asked]}
    file = home / "growth.yml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "15s", "tests": [test]}))
    told = subprocess.run(
        ["promtool", "test", "rules", file], check=False, capture_output=True, text=True, timeout=60
    )
    assert told.returncode == 0, told.stdout + told.stderr


def _series(name: str, instance: str) -> str:
    target = f'job="router", instance="{instance}"'
    if name == "up":
        return f"up{{{target}}}"
    return f'router_requests_total{{model="clicks", track="stable", face="rest", outcome="{name}", {target}}}'


HISTORIES = {
    "nothing is counted of what came before the trial": (
        {"up": ALIVE, "failed": f"0+2x{BEFORE + DURING}"},
        # From the first scrape of the trial to the last.
        {"failed": 2 * (DURING - 1)},
    ),
    "a counter that begins during the trial counts in full": (
        {"up": ALIVE, "ok": ALIVE, "failed": f"_x{BEFORE + 10} 7+1x{DURING - 11}"},
        {"ok": 0, "failed": 7 + DURING - 11},
    ),
    "prometheus was away for ten minutes around the beginning": (
        {"up": f"1x19 _x{DURING + 1} 1x20", "failed": f"50x19 _x{DURING + 1} 50+1x19"},
        {"failed": 19},
    ),
    "mtail was not to be reached around the beginning, and had gone on counting": (
        {"up": f"1x19 0x{DURING} 1x20", "failed": f"50x19 stale _x{DURING - 1} _ 60+1x19"},
        {"failed": 19},
    ),
    "mtail was begun anew around the beginning, and a counter came after it": (
        {"up": f"1x19 0x{DURING} 1x20", "failed": f"50x19 stale _x{DURING - 1} _x10 3+1x10"},
        {"failed": 13},
    ),
    "a counter that nobody scrapes with its job's own word on it is not taken for a new one": (
        {"failed": f"_x{BEFORE + 10} 7+1x{DURING - 11}"},
        {"failed": DURING - 11},
    ),
    "a counter that has not come back since mtail was begun anew is not forgotten": (
        {"up": ALIVE, "failed": f"0+1x{BEFORE + 19} stale _x{DURING - 21}"},
        {"failed": 19},
    ),
    "one scrape tells no growth": (
        {"up": f"_x{BEFORE + DURING - 1} 1", "failed": f"_x{BEFORE + DURING - 1} 50"},
        {"failed": 0},
    ),
}


@pytest.mark.skipif(not is_monitoring_installed(), reason=INSTALL)
@pytest.mark.parametrize(("scraped", "grown"), HISTORIES.values(), ids=HISTORIES)
def test_a_counter_has_grown_by_what_is_known_to_come_of_the_trial(
    tmp_path: Path, expression: str, scraped: dict[str, str], grown: dict[str, float]
) -> None:
    check(tmp_path, expression, {"one": scraped}, grown)


@pytest.mark.skipif(not is_monitoring_installed(), reason=INSTALL)
def test_each_router_speaks_for_its_own_counters(tmp_path: Path, expression: str) -> None:
    lost = {"up": f"1x19 _x{DURING} 1x21", "failed": f"50x19 _x{DURING} 50x21"}
    alive = {"up": ALIVE, "failed": f"_x{BEFORE + 10} 7x{DURING - 11}"}

    check(tmp_path, expression, {"lost": lost, "alive": alive}, {"failed": 7})


@pytest.mark.skipif(not is_monitoring_installed(), reason=INSTALL)
def test_a_counter_that_was_reset_counts_by_prometheus_own_estimate(tmp_path: Path, expression: str) -> None:
    scraped = {"up": ALIVE, "failed": f"0+10x{BEFORE + 19} 0+10x{DURING - 21}"}
    increase = 'sum by (outcome) (increase(router_requests_total{model="clicks"}[599s]))'

    check(tmp_path, f"({expression}) - ({increase})", {"one": scraped}, {"failed": 0})


def test_a_prometheus_that_does_not_answer_is_the_problem() -> None:
    silent = PrometheusConnection(address=f"http://127.0.0.1:{free_port()}")

    seen = observe("clicks", SINCE, UNTIL, silent)

    assert "did not answer" in seen.problem
    assert seen.canary.failures.total == 0
