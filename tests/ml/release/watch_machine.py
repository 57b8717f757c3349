"""The same histories with alerts, and a watch that takes moves back by itself."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis.stateful import precondition, rule

from ml.config import Watch
from ml.connections import PrometheusConnection
from ml.release import Records
from ml.release.watch.alerts import Alert
from ml.release.watch.look import Servers, watch_production
from ml.release.wish import Wish
from tests.ml.release.histories import World, mishaps
from tests.ml.release.mishaps import Mishap
from tests.ml.release.rollout_machine import RolloutMachine

NOBODY = PrometheusConnection(address="http://127.0.0.1:9")


class WatchMachine(RolloutMachine):
    """One history of a pipeline whose alerts are held against the last move."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.went_back: set[int] = set()

    @precondition(lambda self: self.seen)
    @rule(mishap=mishaps)
    def an_alert_fires_and_the_watch_looks(self, mishap: Mishap | None) -> None:
        """It takes back what a run has moved, once; not where a person or itself has gone back to."""
        moves = len(self.server.named["stable"])
        target = self.target_of("previous")
        self.wanted.add((self.serving, target))
        outcome = self.outcome_of(self.look, mishap)
        new = self.server.named["stable"][moves:]
        if new:
            assert new == [target]
            assert moves - 1 not in self.went_back
            self.went_back.add(moves)
        self.count(f"watched: {'went back, ' if new else ''}{outcome}")
        self.is_settled = mishap is None and bool(new)

    def go_back(self, wish: Wish, mishap: Mishap | None) -> str:
        """The same, and remember which moves were no run's."""
        moves = len(self.server.named["stable"])
        outcome = super().go_back(wish, mishap)
        self.went_back.update(range(moves, len(self.server.named["stable"])))
        return outcome

    def look(self) -> None:
        """The watch's look, while an alert fires that is younger than every move."""
        plain, now = self.place.pipeline, datetime.now(timezone.utc)
        watching = plain.serving.model_copy(update={"watch": Watch(alerts=("UsersSeeErrors",))})
        records = Records(plain.model_copy(update={"serving": watching}), self.place.store)
        alert = Alert("UsersSeeErrors", now, "errors", {"model": self.place.model})
        with pytest.MonkeyPatch.context() as firing:
            firing.setattr("ml.release.watch.look.read_alerts", lambda *_: (alert,))
            watch_production(records, Servers(self.place.serving, self.world.mlflow, NOBODY), now)
