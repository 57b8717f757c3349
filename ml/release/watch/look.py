"""One look at what serves: are all agreed on it, does an alert blame it, and if so the way back.

Who does not answer is a concern to be told and no failure: the next look is minutes away.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from ml.config import Serving
from ml.connections import MlflowConnection, PrometheusConnection, ServingConnection
from ml.errors import Misconfigured, RetrainingError, Withheld
from ml.release.production import Records, publication_lock
from ml.release.reconciliation import Reconciliation, reconcile, settle, strayed
from ml.release.rollback import roll_back
from ml.release.router import close_stray_share
from ml.release.server import ModelServer
from ml.release.watch.alerts import Alert, read_alerts
from ml.release.watch.concerns import Concern, Notebook, tell_once
from ml.release.watch.evidence import write_evidence
from ml.release.watch.judgement import Judgement, Standing, judge
from ml.release.wish import Wish

log = logging.getLogger(__name__)

WHO = "watch/"


@dataclass(frozen=True)
class Servers:
    """Who is asked.

    Attributes:
        serving: the model server that answers the users.
        mlflow: where the registry is.
        prometheus: has the alerts; None for a pipeline that watches none.
        canary: the canary's own model server; None if there is none.
    """

    serving: ServingConnection
    mlflow: MlflowConnection
    prometheus: PrometheusConnection | None = None
    canary: ServingConnection | None = None


@dataclass(frozen=True)
class Look:
    """What a look came to.

    Attributes:
        standing: what serves; None if that could not be told.
        alerts: those that fire.
        judgement: the word on them; None if they could not be judged.
        concerns: what a person has to know.
        news: those that were not told yet, and what is over.
        compared: what model server, registry and ledger said; None if the ledger could not be read.
    """

    standing: Standing | None = None
    alerts: tuple[Alert, ...] = ()
    judgement: Judgement | None = None
    concerns: tuple[Concern, ...] = ()
    news: tuple[str, ...] = ()
    compared: Reconciliation | None = None


def watch_production(records: Records, servers: Servers, now: datetime) -> Look:
    """Look, go back if an alert blames the last move, and say what is news. Two at a time take turns.

    Users who are on a canary that nobody tries are given back to stable first, and MLflow is told what it
    has missed.
    """
    notebook = Notebook(records.pipeline, records.store)
    with records.store.lock(notebook.lock):
        found = look(records, servers, now)
        done = _mend(found, records, servers)
        if done:
            found = look(records, servers, now)
        if wish := _wish(found, records):
            done += _go_back(wish, records, servers)
            found = replace(found, concerns=look(records, servers, now).concerns)
        found = replace(found, concerns=(*done, *found.concerns))
        news, record = tell_once(found.concerns, notebook.read(), now)
        if found.judgement:
            record = {**record, "seen_at": now.isoformat(timespec="seconds")}
        notebook.write(record)
    return replace(found, news=tuple(news))


def mark_told(records: Records, news: Collection[str]) -> None:
    """Remember that a message has brought these news, so that they come no more."""
    notebook = Notebook(records.pipeline, records.store)
    with records.store.lock(notebook.lock):
        notebook.mark_told(news)


def look(records: Records, servers: Servers, now: datetime) -> Look:
    """Look, and change nothing."""
    name, setting = records.pipeline.name, records.pipeline.serving
    try:
        compared = reconcile(records, servers.serving, servers.mlflow, servers.canary)
        lines = records.ledger.entries()
    except RetrainingError as error:
        blind = Concern("ledger", f"{name}: {error}", at_once=True, hides_others=True)
        return Look(concerns=(blind,))
    concerns, standing = _differences(name, compared), None
    try:
        with ModelServer(servers.serving, setting.model) as server:
            version = records.identify(server.named_version(setting.label))
        standing = Standing(name, setting.label, version, lines)
        alerts, judgement = _judged(standing, setting, servers, now)
    except RetrainingError as error:
        text = f"{name} is not watched, and nothing is rolled back by itself: {error}"
        unwatched = Concern("unwatched", text, over=f"{name} is watched again")
        return Look(standing, concerns=(*concerns, unwatched), compared=compared)
    told = (*concerns, *_gone_back(standing), *_for_a_person(standing, judgement))
    return Look(standing, alerts, judgement, told, compared=compared)


def _judged(
    standing: Standing, setting: Serving, servers: Servers, now: datetime
) -> tuple[tuple[Alert, ...], Judgement]:
    """The alerts that fire, and what they mean for the last move."""
    if setting.watch is None:
        return (), Judgement("CALM", "no alerts are watched")
    if servers.prometheus is None:
        raise Misconfigured(
            "serving.watch names alerts, and no Prometheus is given to ask for them. Set RETRAIN_PROMETHEUS."
        )
    moved_at = standing.arrival.announced_at if standing.arrival else now
    alerts = read_alerts(setting.watch.alerts, setting.model, moved_at, servers.prometheus)
    return alerts, judge(standing, alerts, setting.watch.within_hours, now)


def _wish(found: Look, records: Records) -> Wish | None:
    """What to go back to: what is judged now, or what an earlier look was lost on the way to."""
    judgement, standing = found.judgement, found.standing
    if standing is None:
        return None
    if standing.version and judgement and judgement.alert and judgement.target:
        alert, evidence = judgement.alert, write_evidence(standing.version, judgement, found.alerts, records)
        who = f"{WHO}{alert.name}/{alert.since.isoformat(timespec='seconds')}"
        to, reason = str(judgement.target), judgement.sentence
        return Wish(to, reason, who, evidence["uri"], is_run=True, leaving=standing.served)
    lost = records.ledger.on_the_way
    if lost and lost["event"] == "moving" and lost["who"].startswith(WHO):
        to = lost["to"]
        return Wish(str(to), lost["reason"], lost["who"], lost["evidence"], is_run=True, leaving=to)
    return None


def _go_back(wish: Wish, records: Records, servers: Servers) -> tuple[Concern, ...]:
    try:
        roll_back(wish, records, servers.serving, servers.mlflow)
    except Withheld as withheld:
        log.info("%s; the next look judges that move", withheld)
    except RetrainingError as error:
        text = (
            f"{records.pipeline.name} must go back to {wish.to}, and could not: {error} Why: {wish.reason}. "
            "It is tried again at every look; look at the model server, or choose another version."
        )
        return (Concern(f"no way back to {wish.to}", text, at_once=True),)
    return ()


def _mend(found: Look, records: Records, servers: Servers) -> tuple[Concern, ...]:
    """Put right what nobody need be asked about, and say so."""
    compared = found.compared
    if compared is None:
        return ()
    closed = _close(compared.stray_share, records, servers) if compared.stray_share else ()
    told = _tell_mlflow("; ".join(compared.unheard), records, servers) if compared.unheard else ()
    return (*closed, *told)


def _tell_mlflow(told: str, records: Records, servers: Servers) -> tuple[Concern, ...]:
    try:
        # Without the canary's server: it may hang, and a roll-back may be next.
        settle(records, servers.serving, servers.mlflow)
    except RetrainingError as error:
        log.warning("MLflow has not heard of %s, and the next look tells it: %s", told, error)
        return ()
    text = f"{records.pipeline.name}: MLflow did not answer at the time, and was told now: {told}"
    return (Concern(f"told {told}", text, at_once=True),)


def _close(share: float, records: Records, servers: Servers) -> tuple[Concern, ...]:
    """Let stable answer everybody, unless a trial has begun since the look."""
    with records.store.lock(publication_lock(servers.serving)):
        if records.on_trial:
            return ()
        close_stray_share(records.pipeline, servers.serving, None)
    text = (
        f"{records.pipeline.name}: {strayed(share)} The share is closed, and stable answers everybody. With "
        "serving.canary in the settings again, the next push gives users to a canary."
    )
    return (Concern(f"stray share of {share:g}", text, at_once=True),)


def _differences(name: str, compared: Reconciliation) -> tuple[Concern, ...]:
    if compared.agree:
        return ()
    said = f"model server: {compared.server}; registry: {compared.registry}; ledger: {compared.ledger}"
    what = f"difference, {compared.finding} {said}" if compared.command else f"unanswered, {compared.finding}"
    command = f" Run: {compared.command}" if compared.command else ""
    text = f"{name}: {compared.finding} ({said}){command}"
    return (Concern(what, text, over=f"{name}: model server, registry and ledger are compared, and agree"),)


def _gone_back(standing: Standing) -> tuple[Concern, ...]:
    """The last roll-back that the watch has made, as long as it stands."""
    arrival = standing.arrival
    if arrival is None or not arrival.line["who"].startswith(WHO):
        return ()
    left, to, line = arrival.line["from"], arrival.to, arrival.line
    text = (
        f"{standing.pipeline} was rolled back by itself from {left} to {to}: {line['reason']}. Evidence: "
        f"{line['evidence']}. {left} is not published again, unless it was innocent: "
        f'python -m ml readmit --pipeline {standing.pipeline} --version {left} --reason "…"'
    )
    return (Concern(f"rolled back, {line['time']}", text, at_once=True),)


def _for_a_person(standing: Standing, judgement: Judgement) -> tuple[Concern, ...]:
    if judgement.decision != "TELL" or judgement.alert is None:
        return ()
    text = f"{judgement.sentence}. If it must go: {standing.safe_command}"
    return (Concern(f"{judgement.alert.name} after {standing.served}", text, at_once=True),)
