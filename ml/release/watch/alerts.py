"""Which alerts fire about a model's users, by Prometheus."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ml.connections import PrometheusConnection
from ml.errors import Misconfigured
from ml.release.prometheus import Prometheus, open_prometheus
from ml.trials import STABLE

# An alert that was there so shortly before a move flickers, or Prometheus forgot its age in a restart.
BEFORE = timedelta(minutes=30)


@dataclass(frozen=True)
class Alert:
    """An alert that fires.

    Attributes:
        name: the rule's.
        since: from when on its expression has held; the rule's ``for`` had passed later.
        summary: what it says of itself.
        labels: what it is about.
        was_there: whether it was active shortly before the move that it might be held against.
    """

    name: str
    since: datetime
    summary: str
    labels: Mapping[str, str]
    was_there: bool = False

    def as_json(self) -> dict[str, Any]:
        """For the evidence."""
        told = {"name": self.name, "since": self.since.isoformat(), "was_there": self.was_there}
        return {**told, "summary": self.summary, "labels": dict(self.labels)}


def read_alerts(
    names: Collection[str], model: str, moved_at: datetime, connection: PrometheusConnection
) -> tuple[Alert, ...]:
    """The alerts of these names that fire about a model's users, the oldest first.

    Args:
        names: of alerts.
        model: whose users; an alert names it by its label ``model``. What it says of another track than
            ``stable`` is left out.
        moved_at: when the model's users got the version that they have.
        connection: of Prometheus.

    Raises:
        Unavailable: if Prometheus does not answer.
        Misconfigured: if it does not know one of the names, or cannot evaluate its rule.
    """
    with open_prometheus(connection) as prometheus:
        rules = prometheus.alert_rules()
        _check_known(names, rules)
        firing = [active for rule in rules if rule["name"] in names for active in _firing(rule, model)]
        before = _there_before(names, model, moved_at, prometheus) if firing else []
    alerts = [_alert(active, before) for active in firing]
    return tuple(sorted(alerts, key=lambda alert: (alert.since, alert.name)))


def _check_known(names: Collection[str], rules: Sequence[Mapping[str, Any]]) -> None:
    """A misspelt alert must not be one that never fires, nor a broken rule."""
    known = {rule["name"] for rule in rules}
    if missing := sorted(set(names) - known):
        raise Misconfigured(
            f"Prometheus has no alert {', '.join(missing)}, which serving.watch.alerts names. Expected "
            f"one of {', '.join(sorted(known)) or 'none at all'}. Mend the name, or load its rule there."
        )
    watched = [rule for rule in rules if rule["name"] in names]
    if broken := [f"{rule['name']}: {rule['lastError']}" for rule in watched if rule.get("lastError")]:
        raise Misconfigured(
            f"Prometheus cannot evaluate an alert that serving.watch.alerts names: {'; '.join(broken)}. Mend "
            "its rule; until then nothing is rolled back for it."
        )


def _firing(rule: Mapping[str, Any], model: str) -> Iterator[Mapping[str, Any]]:
    for active in rule["alerts"]:
        labels = active["labels"]
        is_about_users = labels.get("model") == model and labels.get("track", STABLE) == STABLE
        if active["state"] == "firing" and is_about_users:
            yield active


def _there_before(
    names: Collection[str], model: str, moved_at: datetime, prometheus: Prometheus
) -> list[Mapping[str, str]]:
    """The labels of all that was pending or firing in the last minutes before the move."""
    series = f'ALERTS{{alertname=~"{"|".join(sorted(names))}",model="{model}"}}'
    samples = prometheus.query(f"count_over_time({series}[{int(BEFORE.total_seconds())}s])", moved_at)
    return [
        {name: value for name, value in sample["metric"].items() if name != "alertstate"}
        for sample in samples
    ]


def _alert(active: Mapping[str, Any], before: Sequence[Mapping[str, str]]) -> Alert:
    labels = active["labels"]
    return Alert(
        name=labels["alertname"],
        since=datetime.fromisoformat(active["activeAt"]),
        summary=active["annotations"].get("summary", ""),
        labels=labels,
        was_there=labels in before,
    )
