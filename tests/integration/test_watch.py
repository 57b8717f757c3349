"""The watch on real servers: users see errors after a push, and the version goes by itself, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from ml.__main__ import main
from ml.config import Canary, Pipeline, Watch
from ml.connections import MlflowConnection, PrometheusConnection
from ml.errors import Misconfigured
from ml.manifest import SCHEME
from ml.release import rollback
from ml.release.golden_version import readmit
from ml.release.reconciliation import reconcile, settle
from ml.release.router import set_share
from ml.release.watch.alerts import read_alerts
from ml.release.watch.look import Look, Servers, mark_told, watch_production
from ml.release.wish import Wish
from tests.demo.prometheus import (
    INSTALL,
    Prometheus,
    is_monitoring_installed,
    running_mtail,
    running_prometheus,
)
from tests.integration.publishing import Place
from tests.integration.release_world import World, command_line

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not is_monitoring_installed(), reason=INSTALL),
]

ONE, TWO, THREE = 20261102001, 20261103001, 20261104001
MODEL = "alerted"
ANSWER = {"time": "", "trace": "1", "face": "rest", "model": MODEL, "track": "stable"}
FINE = {"outcome": "ok", "status": "200", "seconds": "0.004", "score": "0.1"}
FAILED = {"outcome": "failed", "status": "500", "seconds": "0.004", "score": ""}
ANSWERED = {"answered_by": "stable", "answer": "failed", "request_seconds": "0.005"}
UNANSWERED = {"outcome": "", "status": "", "seconds": "", "score": "", "answer": "", "http_status": "499"}
LEFT_CANARY = UNANSWERED | {"track": "canary", "answered_by": "canary"}
WAIT_SECONDS = 60


@dataclass(frozen=True)
class WatchedPlace(Place):
    """A pipeline that goes back when its users see errors."""

    @property
    def pipeline(self) -> Pipeline:
        plain = super().pipeline
        watch = Watch(alerts=("UsersGiveUp", "UsersSeeErrors"))
        return plain.model_copy(update={"serving": plain.serving.model_copy(update={"watch": watch})})


@dataclass(frozen=True)
class Watched:
    """The place, the router's log, and the Prometheus that counts its lines."""

    place: WatchedPlace
    access_log: Path
    prometheus: Prometheus

    @property
    def connection(self) -> PrometheusConnection:
        return PrometheusConnection(address=self.prometheus.address)

    def look(self) -> Look:
        servers = Servers(self.place.serving, self.place.mlflow, self.connection)
        found = watch_production(self.place.records, servers, datetime.now(timezone.utc))
        mark_told(self.place.records, found.news)
        return found

    def fail_users(self) -> None:
        """Users are answered by errors until the alert fires."""
        self.log_until("UsersSeeErrors", FAILED | ANSWERED)

    def log(self, line: dict[str, str]) -> None:
        """The router logs this line."""
        with self.access_log.open("a") as log:
            log.write(json.dumps(ANSWER | line, separators=(",", ":")) + "\n")

    def log_until(self, alert: str, line: dict[str, str]) -> None:
        """The router logs this line again and again until the alert fires."""

        def alert_fires_after_one_more() -> bool:
            self.log(line)
            return bool(self.prometheus.query(f'ALERTS{{alertname="{alert}",alertstate="firing"}}'))

        self.prometheus.process.wait_until(alert_fires_after_one_more, WAIT_SECONDS, "alarmed", pause=0.3)

    def command(self, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
        """``python -m ml watch`` on this place."""
        named = {
            "RETRAIN_CLICKS__SERVING__WATCH": "{alerts: [UsersSeeErrors]}",
            "RETRAIN_PROMETHEUS": self.connection.model_dump_json(),
        }
        for name, value in (command_line(self.place) | named).items():
            monkeypatch.setenv(name, value)
        return main(["watch", "--pipeline", "clicks", *options])

    def said(self) -> list[tuple[Any, ...]]:
        return [(line["event"], line["action"], line["to"]) for line in self.place.ledger.entries()]


@pytest.fixture(scope="module")
def watched(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """After two nights, with users who are answered well."""
    home = tmp_path_factory.mktemp("watched")
    access_log = home / "access.log"
    access_log.touch()
    place = WatchedPlace(home / "store", MODEL, world.serving, world.mlflow, world.saved_models)
    with (
        running_mtail(home, access_log) as mtail,
        running_prometheus(home / "prometheus", {"router": mtail}, at_once=True) as prometheus,
    ):
        place.night(2)
        place.night(3)
        yield Watched(place, access_log, prometheus)


def test_users_whom_a_canary_leaves_unanswered_are_not_held_against_the_push_before(watched: Watched):
    watched.log(FINE | ANSWERED | {"answer": "ok"})
    watched.log_until("UsersGiveUp", LEFT_CANARY)

    found = watched.look()

    assert found.judgement is not None
    assert (found.judgement.decision, found.alerts, watched.place.served()) == ("CALM", (), TWO)


def test_errors_after_a_push_take_it_back_once_and_say_why(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    place = watched.place
    calm = watched.look()
    assert calm.judgement is not None
    assert (calm.judgement.decision, calm.concerns, place.served()) == ("CALM", (), TWO)

    watched.fail_users()
    assert watched.command(monkeypatch, "--dry-run") == 0
    assert f"ROLL_BACK: clicks, served by {TWO}: UsersSeeErrors fires since" in capsys.readouterr().out
    assert place.served() == TWO

    with monkeypatch.context() as killed:
        killed.setattr(rollback, "ACTIONS", rollback.ACTIONS[:4])
        watched.look()
    assert (place.served(), watched.said()[-1]) == (ONE, ("moving", "rollback", ONE))

    told = watched.look()
    assert (place.served(), watched.said()[-1]) == (ONE, ("moved", "rollback", ONE))
    line = place.ledger.entries()[-1]
    assert line["who"].startswith("watch/UsersSeeErrors/")
    evidence = place.store.root / line["evidence"].removeprefix(SCHEME) / "watch.json"
    assert [alert["name"] for alert in json.loads(evidence.read_bytes())["alerts"]] == ["UsersSeeErrors"]
    assert any(f"was rolled back by itself from {TWO} to {ONE}" in news for news in told.news)

    again = watched.look()
    assert (again.news, watched.said()[-1]) == ((), ("moved", "rollback", ONE))


def test_an_alert_that_fires_already_is_not_held_against_the_next_night(watched: Watched):
    place = watched.place
    place.night(4)

    found = watched.look()

    assert found.judgement is not None
    assert (found.judgement.decision, place.served()) == ("LEAVE", THREE)
    [alert] = read_alerts(["UsersSeeErrors"], MODEL, datetime.now(timezone.utc), watched.connection)
    assert alert.was_there
    assert read_alerts(["UsersSeeErrors"], "another", datetime.now(timezone.utc), watched.connection) == ()


def test_a_difference_is_told_once_and_when_it_is_over(watched: Watched):
    registry = MlflowClient(watched.place.mlflow.uri)
    aliased = registry.get_model_version_by_alias(MODEL, "production").version
    registry.set_registered_model_alias(MODEL, "production", "1")

    news = [watched.look().news for _ in range(3)]
    registry.set_registered_model_alias(MODEL, "production", aliased)

    assert [len(told) for told in news] == [0, 1, 0]
    assert f"registry: {ONE}; ledger: {THREE}" in news[1][0]
    assert f"rollback --pipeline clicks --to {THREE}" in news[1][0]
    assert [list(watched.look().news) for _ in range(2)] == [
        ["clicks: model server, registry and ledger are compared, and agree"],
        [],
    ]


def test_mlflow_is_told_what_it_has_missed_and_a_person_is_told_so_once(watched: Watched):
    place = watched.place
    wish = Wish(str(TWO), "it was the client", "ada")
    readmit(wish, place.records, place.serving, MlflowConnection(uri="http://127.0.0.1:9"))
    line = len(place.ledger.entries())

    missed = reconcile(place.records, place.serving, place.mlflow)
    news = [watched.look().news for _ in range(2)]

    assert missed.command == "python -m ml reconcile --pipeline clicks --settle"
    assert f"MLflow has not heard of: readmit of {TWO}" in missed.finding
    assert [len(told) for told in news] == [1, 0]
    assert f"and was told now: readmit of {TWO}" in news[0][0]
    assert reconcile(place.records, place.serving, place.mlflow).agree
    client = MlflowClient(place.mlflow.uri)
    assert client.get_registered_model(MODEL).tags["ledger.head"].startswith(f"{line} ")
    found = client.search_model_versions(f"name = '{MODEL}' and tag.`serving.version` = '{TWO}'")
    assert "by ada: it was the client" in found[0].tags["readmitted"]


def test_what_mlflow_has_missed_is_told_before_the_next_decision_and_by_settling(watched: Watched):
    place = watched.place
    away = MlflowConnection(uri="http://127.0.0.1:9")
    lines = len(place.ledger.entries())
    back = Wish(str(ONE), "for a test", "ada")
    rollback.roll_back(back, place.records, place.serving, place.mlflow)
    readmit(Wish(str(THREE), "for a test", "ada"), place.records, place.serving, away)
    assert not reconcile(place.records, place.serving, place.mlflow).agree

    settle(place.records, place.serving, place.mlflow)

    head = MlflowClient(place.mlflow.uri).get_registered_model(MODEL).tags["ledger.head"]
    assert (len(place.ledger.entries()), int(head.split()[0])) == (lines + 3, lines + 3)
    assert reconcile(place.records, place.serving, place.mlflow).agree


def test_a_roll_back_without_mlflow_is_followed_by_its_alias_at_the_next_look(watched: Watched):
    place = watched.place
    away = MlflowConnection(uri="http://127.0.0.1:9")
    rollback.roll_back(Wish(str(THREE), "back", "ada"), place.records, place.serving, away)
    assert place.ledger.entries()[-1]["alias"] is False

    news = [watched.look().news for _ in range(2)]

    assert [len(told) for told in news] == [1, 0]
    assert f"MLflow did not answer at the time, and was told now: rollback to {THREE}" in news[0][0]
    assert watched.said()[-1] == ("settled", "rollback", THREE)
    assert reconcile(place.records, place.serving, place.mlflow).agree


def test_a_share_that_is_left_open_is_a_difference_which_settling_ends(watched: Watched):
    place = watched.place
    canary = place.pipeline.serving.model_copy(update={"canary": Canary(share=0.25)})
    set_share(place.pipeline.model_copy(update={"serving": canary}), place.serving, 0.25)

    found = reconcile(place.records, place.serving, place.mlflow)
    settle(place.records, place.serving, place.mlflow)

    assert (found.agree, found.command) == (False, "python -m ml reconcile --pipeline clicks --settle")
    assert "The router sends 25.0% of the users to a canary" in found.finding
    assert reconcile(place.records, place.serving, place.mlflow).agree


def test_a_misspelt_alert_and_a_prometheus_that_is_down_are_told_and_move_nothing(watched: Watched):
    before, now = watched.said(), datetime.now(timezone.utc)
    with pytest.raises(Misconfigured, match="Prometheus has no alert UsersSeeError, which"):
        read_alerts(["UsersSeeError"], MODEL, now, watched.connection)

    watched.prometheus.process.stop()
    looks = [watched.look() for _ in range(3)]

    assert [len(look.news) for look in looks] == [0, 1, 0]
    assert "clicks is not watched, and nothing is rolled back by itself: Prometheus at" in looks[1].news[0]
    assert (watched.said(), looks[2].judgement) == (before, None)
