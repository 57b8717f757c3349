"""Grafana's dashboard: every query is PromQL, and asks for metrics that somebody exports."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ml.release.exposition import METRICS
from tests.demo.canary.panels import DASHBOARD as FILE
from tests.demo.canary.panels import draw_dashboard, fill_in
from tests.demo.canary.timeline import MEASURES
from tests.demo.ports import free_port
from tests.demo.process import ProcessFailed
from tests.demo.prometheus import (
    DEPLOY,
    INSTALL,
    Prometheus,
    is_monitoring_installed,
    running_mtail,
    running_prometheus,
)
from tests.deploy.test_monitoring import LINE

DASHBOARD = json.loads(FILE.read_text())
PROVISIONING = DEPLOY / "grafana" / "provisioning"
NAME = re.compile(r"\b(?:router|retraining|model|model_track|model_track_status)[_:][a-z0-9_:]+\b")
NEEDS_YESTERDAY = "model:score_shift:day30m"
WAIT_SECONDS = 60
HISTOGRAM = ("_bucket", "_count", "_sum")


def panel_queries() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def queries() -> Iterator[tuple[str, str]]:
    """(where, PromQL) of everything that asks Prometheus, the variables of Grafana filled in."""
    yield from panel_queries()
    yield from ((note["name"], note["expr"]) for note in DASHBOARD["annotations"]["list"])


def exported() -> set[str]:
    """The names that mtail, our exporter and the recording rules define."""
    program = (DEPLOY / "mtail" / "router.mtail").read_text()
    counted = re.findall(r"^(counter|histogram) (\w+)", program, re.MULTILINE)
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules" / "tracks.yml").read_text())["groups"]
    recorded = {rule["record"] for group in rules for rule in group["rules"]}
    histograms = {name + part for kind, name in counted if kind == "histogram" for part in HISTOGRAM}
    counters = {name for kind, name in counted if kind == "counter"}
    return {*METRICS, *counters, *histograms, *recorded}


def rule_queries() -> Iterator[tuple[str, str]]:
    for file in sorted((DEPLOY / "prometheus" / "rules").glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from ((rule.get("alert") or rule["record"], rule["expr"]) for rule in group["rules"])


def timeline_queries() -> Iterator[tuple[str, str]]:
    yield from ((measure.name, measure.expression) for measure in MEASURES)


@pytest.mark.parametrize(("where", "query"), [*queries(), *rule_queries(), *timeline_queries()])
def test_every_metric_that_is_asked_for_is_exported(where: str, query: str) -> None:
    assert set(NAME.findall(query)) <= exported(), where


def test_a_variable_lists_the_values_of_a_label_that_is_there() -> None:
    for variable in DASHBOARD["templating"]["list"]:
        metric, label = re.findall(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])[0]
        assert metric in exported()
        assert label == variable["name"]


def test_panels_have_numbers_and_places_of_their_own_and_the_one_data_source() -> None:
    source = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    cells = [cell for panel in panels for cell in cells_of(panel["gridPos"])]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(cells)) == len(cells), "panels overlap"
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}


def cells_of(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        yield from ((x, y) for y in range(place["y"], place["y"] + place["h"]))


def test_grafana_finds_the_dashboard_where_compose_mounts_it(services: dict[str, dict[str, Any]]) -> None:
    provider = yaml.safe_load((PROVISIONING / "dashboards" / "retraining.yml").read_text())["providers"][0]

    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in services["grafana"]["volumes"]


class Examples(Collector):
    """Every metric of ours once, with another value at every scrape."""

    def __init__(self) -> None:
        self.scrapes = 0

    def describe(self) -> list[GaugeMetricFamily]:
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        self.scrapes += 1
        for name, (text, labels) in METRICS.items():
            family = GaugeMetricFamily(name, text, labels=["pipeline", *labels])
            family.add_metric(["clicks", *(f"a {label}" for label in labels)], self.scrapes)
            yield family


@pytest.fixture
def exporter() -> Iterator[str]:
    """``host:port`` of the examples."""
    registry, port = CollectorRegistry(), free_port()
    registry.register(Examples())
    server, thread = start_http_server(port, "127.0.0.1", registry)
    yield f"127.0.0.1:{port}"
    server.shutdown()
    server.server_close()
    thread.join()


def requests_of_both_tracks(access_log: Path) -> None:
    for track, answer in (("stable", "ok"), ("canary", "ok"), ("stable", "failed")):
        line = LINE | {"track": track, "outcome": answer, "answered_by": track, "answer": answer}
        with access_log.open("a") as log:
            log.write(json.dumps(line, separators=(",", ":")) + "\n")


@pytest.mark.integration
@pytest.mark.skipif(not is_monitoring_installed(), reason=INSTALL)
def test_every_query_is_answered_with_data(tmp_path: Path, exporter: str) -> None:
    access_log = tmp_path / "access.log"
    access_log.touch()
    empty = set(queries())

    def is_all_answered(prometheus: Prometheus) -> bool:
        requests_of_both_tracks(access_log)
        empty.difference_update([pair for pair in empty if prometheus.query(fill_in(pair[1]))])
        return all(NEEDS_YESTERDAY in query for _, query in empty)

    with running_mtail(tmp_path, access_log) as mtail:
        targets = {"router": mtail, "retraining": exporter}
        with (
            running_prometheus(tmp_path / "prometheus", targets, at_once=True) as prometheus,
        ):
            with suppress(ProcessFailed):
                prometheus.process.wait_until(
                    lambda: is_all_answered(prometheus), WAIT_SECONDS, "full", pause=0.5
                )
            now = time.time()
            draw_dashboard(prometheus, (now - WAIT_SECONDS, now), tmp_path / "dashboard.png")
    assert [query for _, query in empty if NEEDS_YESTERDAY not in query] == []
    assert (tmp_path / "dashboard.png").read_bytes().startswith(b"\x89PNG")
