"""How a pipeline stands, as far as the store tells it, and what is said when servers do not answer."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta, tzinfo
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import ValidationError

from ml.artifact import Artifact, Window
from ml.config import Canary, Pipeline, Rollout, Serving, Watch
from ml.connections import MlflowConnection, ServingConnection
from ml.errors import Misconfigured
from ml.manifest import Identity
from ml.release.exposition import METRICS, Exposition, serve_metrics
from ml.release.ledger import Ledger, Move
from ml.release.observer import Observer
from ml.release.past_nights import (
    JudgedNight,
    judged_nights,
    last_drift,
    last_publication,
    unpublished_nights,
)
from ml.release.production import Records
from ml.release.questions import ASKING
from ml.release.standing import Sample, Sources, due_watermark
from ml.release.versions import Version
from ml.release.watch.concerns import Notebook
from ml.store import Store
from tests.demo.ports import free_port
from tests.ml.release.published import give_users, publish

FIRST_DAY = date(2026, 3, 10)
NOW = datetime.fromisoformat("2026-03-14T07:00:00+00:00")
NAMES = ["clicks", "views"]


class Clock:
    """What the store takes for the time: an hour later for every artifact."""

    def __init__(self) -> None:
        self._hours = count_hours("2026-03-11T02:00:00+00:00")

    def set(self, moment: str) -> None:
        """The next artifact is made then."""
        self._hours = count_hours(moment)

    def now(self, _: tzinfo | None = None) -> datetime:
        return next(self._hours)


def count_hours(moment: str) -> Iterator[datetime]:
    return (datetime.fromisoformat(moment) + timedelta(hours=hours) for hours in count())


def produce(store: Store, kind: str, day: int, content: Any, attempt: int = 1) -> Artifact:
    window = Window.of_day(FIRST_DAY + timedelta(days=day), "UTC")
    identity = Identity(kind, "clicks", window, {}, {"attempt": attempt})
    return store.produce(identity, lambda draft: draft.write_json(content))


def judge(store: Store, day: int, verdict: str, attempt: int = 1) -> None:
    produce(store, "blessing", day, {"verdict": verdict, "publish": verdict == "PASS"}, attempt)


@pytest.fixture
def sources(store: Store, tmp_path: Path) -> Sources:
    """A store, and servers that nobody has started."""
    port = free_port()
    serving = ServingConnection(
        rest=f"http://127.0.0.1:{port}",
        grpc=f"127.0.0.1:{port}",
        models_dir=tmp_path,
        server_models_dir=tmp_path,
        config_file=tmp_path / "models.config",
    )
    return Sources(store, serving, MlflowConnection(uri=f"http://127.0.0.1:{port}"))


def observe(pipeline: Pipeline, sources: Sources, now: datetime) -> list[Sample]:
    return [sample for _, sample in Observer([pipeline], sources).observe(now)]


def test_the_last_nights_are_told_with_their_verdicts_the_newest_first(pipeline, store):
    for day, verdict in enumerate(["FAIL", "PASS", "PAUSED", "INCONCLUSIVE"]):
        judge(store, day, verdict)

    nights = judged_nights(pipeline, store, most=30)

    assert [night.verdict for night in nights] == ["INCONCLUSIVE", "PAUSED", "PASS", "FAIL"]


def version_of(pipeline: Pipeline, store: Store, day: int) -> Version:
    judge(store, day, "PASS")
    model = produce(store, "model", day, {})
    return Records(pipeline, store).versions.allot(model, store.manifest(model).identity.window)


def publish_day(pipeline: Pipeline, store: Store, day: int) -> Version:
    version = version_of(pipeline, store, day)
    give_users(Records(pipeline, store), version, "push", "better")
    return version


def show_canary(pipeline: Pipeline, store: Store, day: int) -> Version:
    """A night that shows its version to the canary's users, as `push_canary` does."""
    version = version_of(pipeline, store, day)
    ledger = Ledger(pipeline, store, "canary")
    move = Move("push", "canary", version, ledger.last_served, "ada", "better")
    ledger.append("moving", move)
    ledger.record(move)
    produce(store, "pushed_model", day, {"version": version.number, "label": "canary"})
    return version


def withdraw(pipeline: Pipeline, store: Store, version: Version) -> None:
    Ledger(pipeline, store).note(Move("withdraw", "canary", version, version.number, "ada", "it fails"))


def missed(pipeline: Pipeline, store: Store, due: int) -> int:
    lines = Ledger(pipeline, store).entries()
    return unpublished_nights(pipeline, store, lines, FIRST_DAY + timedelta(days=due))


def test_a_night_without_a_publication_counts_whatever_has_stopped_it(pipeline, store):
    publish_day(pipeline, store, 0)
    assert missed(pipeline, store, 0) == 0

    judge(store, 1, "PAUSED")
    # Let through by the gate, and lost or rejected on its way to the users.
    judge(store, 2, "PASS")
    produce(store, "offsets", 3, {})
    assert [missed(pipeline, store, due) for due in (1, 2, 3)] == [1, 2, 3]
    # Nothing of it is there: it never ran, or its store was not to be reached.
    assert missed(pipeline, store, 4) == 4


def test_a_canary_that_is_withdrawn_every_night_brings_nobody_anything(pipeline, store):
    publish_day(pipeline, store, 0)
    published = last_publication(pipeline, Ledger(pipeline, store).entries())

    for day in (1, 2):
        canary = show_canary(pipeline, store, day)
        assert missed(pipeline, store, day) == day
        withdraw(pipeline, store, canary)
        assert missed(pipeline, store, day) == day

    assert last_publication(pipeline, Ledger(pipeline, store).entries()) == published


def test_a_canary_counts_from_its_promotion_on(pipeline, store):
    publish_day(pipeline, store, 0)
    canary = show_canary(pipeline, store, 2)
    assert missed(pipeline, store, 2) == 2

    give_users(Records(pipeline, store), canary, "promote", "no worse")

    assert missed(pipeline, store, 2) == 0
    last = Ledger(pipeline, store).last_move
    assert last_publication(pipeline, Ledger(pipeline, store).entries()) == datetime.fromisoformat(
        last["time"]
    )


def test_a_version_that_was_rolled_back_has_not_stayed(pipeline, store):
    records, first = Records(pipeline, store), publish_day(pipeline, store, 0)
    for day in (1, 2):
        publish_day(pipeline, store, day)
        published = last_publication(pipeline, records.ledger.entries())
        give_users(records, first, "rollback", "errors")
        assert missed(pipeline, store, day) == day

    # To go back is no publication.
    assert last_publication(pipeline, records.ledger.entries()) == published


def test_to_go_far_back_leaves_the_versions_in_between_published(pipeline, store):
    first, _, _ = (publish_day(pipeline, store, day) for day in (0, 1, 2))
    give_users(Records(pipeline, store), first, "rollback", "errors")

    assert missed(pipeline, store, 2) == 1


def test_the_days_of_another_time_zone_are_counted_there(pipeline, store):
    landing = pipeline.landing.model_copy(update={"time_zone": "America/New_York"})
    there = pipeline.model_copy(update={"landing": landing})
    records, day = Records(there, store), FIRST_DAY - timedelta(days=2)
    # That day has an hour less there.
    window = Window.of_day(day, "America/New_York")
    model = store.produce(Identity("model", "clicks", window, {}, {}), lambda draft: draft.write_json({}))
    give_users(records, records.versions.allot(model, window), "push", "better")

    assert [missed(there, store, due) for due in (-2, -1, 0)] == [0, 1, 2]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("ml.store.datetime", SimpleNamespace(now=clock.now))
    return clock


def test_before_the_first_publication_the_nights_count_that_were_judged(pipeline, store, clock):
    assert missed(pipeline, store, 7) == 0

    for day in (0, 1, 2):
        clock.set(f"2026-03-{day + 11}T02:00:00+00:00")
        judge(store, day, "FAIL")
        judge(store, day, "FAIL", attempt=2)

    assert missed(pipeline, store, 7) == 3


def test_a_backfill_of_a_pipeline_that_has_published_nothing_pages_nobody(pipeline, store, clock):
    """On 14 March, at ten, of the four days before: only yesterday is as a night would have judged it."""
    clock.set("2026-03-14T10:00:00+00:00")
    for day in (0, 1, 2, 3):
        judge(store, day, "FAIL")

    assert [missed(pipeline, store, due) for due in (3, 4, 5, 9)] == [1, 1, 1, 1]


def test_a_new_pipeline_that_is_blocked_is_noticed_whatever_was_backfilled(pipeline, store, clock):
    clock.set("2026-03-14T10:00:00+00:00")
    for day in (0, 1, 2):
        judge(store, day, "FAIL")
    for day in (3, 4, 5):
        clock.set(f"2026-03-{day + 11}T02:00:00+00:00")
        judge(store, day, "FAIL")

    assert missed(pipeline, store, 5) == pipeline.serving.blocked_nights == 3


@pytest.mark.parametrize(
    ("at", "nights"), [("2026-03-12T05:59:59+00:00", 1), ("2026-03-12T06:00:00+00:00", 0)]
)
def test_a_verdict_is_in_time_until_the_next_day_is_due(pipeline, store, clock, at, nights):
    clock.set(at)
    judge(store, 0, "FAIL")

    assert missed(pipeline, store, 7) == nights


@pytest.mark.parametrize("verdicts", [("FAIL", "PASS"), ("PASS", "FAIL"), ("PASS", "STALE")])
def test_the_last_verdict_on_a_day_counts(pipeline, store, clock, verdicts):
    for attempt, verdict in enumerate(verdicts):
        judge(store, 0, verdict, attempt)

    assert judged_nights(pipeline, store, most=30) == [JudgedNight("2026-03-10", verdicts[-1])]


def test_a_backfill_of_old_days_blocks_nothing(pipeline, store):
    publish_day(pipeline, store, 5)
    for day, verdict in enumerate(["STALE", "STALE", "FAIL", "STALE", "PASS", "STALE"]):
        judge(store, day, verdict, attempt=2)

    assert [missed(pipeline, store, due) for due in (3, 5, 6)] == [0, 0, 1]


def test_only_as_many_nights_as_asked_for_are_read(pipeline, store):
    for day in range(5):
        judge(store, day, "PASS")

    assert [night.day for night in judged_nights(pipeline, store, most=2)] == ["2026-03-14", "2026-03-13"]


def test_a_half_written_verdict_is_none(pipeline, store):
    (store.root / "clicks" / "blessing" / "2026-03-10-0123.partial").mkdir(parents=True)

    assert judged_nights(pipeline, store, most=30) == []


def test_an_empty_store_knows_of_no_publication_and_no_drift(pipeline, store):
    assert last_publication(pipeline, []) is None
    assert last_drift(pipeline, store) == []


def test_a_feature_whose_drift_cannot_be_told_has_a_threshold_and_no_value(pipeline, store, sources):
    features = [
        {"feature": "device", "divergence_bits": 0.07, "threshold_bits": 0.05},
        {"feature": "brand", "divergence_bits": None, "threshold_bits": 0.1},
    ]
    produce(store, "drift_report", 0, {"features": features})

    seen = {(each.name, *each.labels): each.value for each in observe(pipeline, sources, NOW)}

    assert seen["retraining_drift_bits", "device"] == 0.07
    assert ("retraining_drift_bits", "brand") not in seen
    assert seen["retraining_drift_threshold_bits", "brand"] == 0.1


def test_a_server_that_does_not_answer_is_named_and_the_others_are_still_told(
    pipeline, store, sources, clock
):
    judge(store, 0, "FAIL")

    seen = {(each.name, *each.labels): each.value for each in observe(pipeline, sources, NOW)}

    up = {labels[0]: value for (name, *labels), value in seen.items() if name == "retraining_source_up"}
    assert up == {"store": 1, "ledger": 1, "router": 1, "model-server": 0, "registry": 0}
    assert ("retraining_served_version",) not in seen
    assert seen["retraining_blocked_nights",] == 1


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of somebody who takes every question and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    for thread in threading.enumerate():
        if thread.name.startswith(ASKING):
            thread.join()


def test_servers_that_hang_take_away_nothing_that_others_tell_of_any_pipeline(
    pipeline, store, sources, silent, caplog
):
    serving = sources.serving.model_copy(update={"rest": f"http://{silent}"})
    hanging = Sources(store, serving, MlflowConnection(uri=f"http://{silent}"), serving)
    trying = pipeline.serving.model_copy(update={"canary": Canary()})
    clicks, views = (pipeline.model_copy(update={"name": name, "serving": trying}) for name in NAMES)

    seen = list(Observer([clicks, views], hanging, seconds=3).observe(NOW))

    up = {(name, *one.labels): one.value for name, one in seen if one.name == "retraining_source_up"}
    told = {"store": 1, "ledger": 1, "router": 1, "model-server": 0, "canary-server": 0, "registry": 0}
    assert up == {(name, source): value for name in NAMES for source, value in told.items()}
    assert [name for name, one in seen if one.name == "retraining_blocked_nights"] == NAMES
    # They were not waited for until they were given up themselves.
    assert "the registry of views has not answered for 3 s" in caplog.text
    assert "the model-server of clicks has not answered for 3 s" in caplog.text


def test_a_mistake_in_reading_one_source_is_logged_and_leaves_the_others(
    pipeline, sources, caplog, monkeypatch
):
    monkeypatch.setattr("ml.release.past_nights.last_drift", lambda *_: [{}])

    seen = {(each.name, *each.labels): each.value for each in observe(pipeline, sources, NOW)}

    assert (seen["retraining_source_up", "store"], seen["retraining_source_up", "ledger"]) == (0, 1)
    assert "KeyError: 'divergence_bits'" in caplog.text


def test_the_model_of_a_pipeline_is_told_whatever_answers(pipeline, sources):
    renamed = pipeline.serving.model_copy(update={"model": "clicks_of_users"})

    samples = list(observe(pipeline.model_copy(update={"serving": renamed}), sources, NOW))

    assert Sample("retraining_model_info", 1, ("clicks_of_users",)) in samples


def name_golden(records: Records, version: Version) -> None:
    move = Move("golden", "golden", version, None, "ada", "two calm weeks")
    records.ledger.append("moving", move)
    records.ledger.record(move)


def rehearse(store: Store, version: Version, passed: bool = True) -> None:
    record = {"at": "2026-03-14T03:00:00+00:00", "passed": passed, "version": version.number}
    (store.root / "clicks" / "release" / "rehearsal.json").write_text(json.dumps(record))


def rehearsed(pipeline: Pipeline, sources: Sources) -> dict[str, float]:
    prefix = "retraining_rehearsal_"
    samples = [one for one in observe(pipeline, sources, NOW) if one.name.startswith(prefix)]
    return {one.name.removeprefix(prefix): one.value for one in samples}


@pytest.mark.parametrize("passed", [True, False])
def test_the_last_rehearsal_of_the_way_back_is_told_and_how_it_ended(pipeline, store, sources, passed):
    records = Records(pipeline, store)
    golden = publish(records, 2)
    name_golden(records, golden)
    rehearse(store, golden, passed)

    assert rehearsed(pipeline, sources) == {"timestamp_seconds": NOW.timestamp() - 4 * 3600, "passed": passed}


def test_a_golden_version_that_was_never_rehearsed_is_told_as_old_as_can_be(pipeline, store, sources):
    records = Records(pipeline, store)
    first, second = publish(records, 2), publish(records, 3)
    assert rehearsed(pipeline, sources) == {}

    name_golden(records, first)
    assert rehearsed(pipeline, sources) == {"timestamp_seconds": 0}

    rehearse(store, first)
    name_golden(records, second)
    assert rehearsed(pipeline, sources) == {"timestamp_seconds": 0}


def test_a_damaged_ledger_hides_what_only_it_knows_and_says_so_and_leaves_the_verdicts(
    pipeline, store, sources
):
    records = Records(pipeline, store)
    name_golden(records, publish(records, 2))
    judge(store, 0, "FAIL")
    records.ledger.path.write_text("{}\n")

    seen = {(each.name, *each.labels): each.value for each in observe(pipeline, sources, NOW)}

    assert seen["retraining_source_up", "ledger"] == 0
    assert ("retraining_blocked_nights",) not in seen
    assert seen["retraining_verdict_info", "2026-03-10", "FAIL"] == 1
    assert rehearsed(pipeline, sources) == {}


def test_a_damaged_verdict_hides_the_others_and_says_so_and_leaves_what_is_due(pipeline, store, sources):
    for day in (0, 1):
        judge(store, day, "FAIL")
    damaged = min((store.root / "clicks" / "blessing").glob("*/blessing.json"))
    damaged.write_text("{}")

    seen = {(each.name, *each.labels): each.value for each in observe(pipeline, sources, NOW)}

    assert seen["retraining_source_up", "store"] == 0
    assert "retraining_verdict_info" not in {name for name, *_ in seen}
    assert seen["retraining_due_watermark_timestamp_seconds",] == due_watermark(pipeline, NOW).timestamp()


def test_a_trial_is_told_with_its_age_and_its_limit_as_long_as_it_is_on_record(pipeline, store, sources):
    canary = Canary(rollout=Rollout(max_minutes=90))
    serving = pipeline.serving.model_copy(update={"canary": canary})
    trying = pipeline.model_copy(update={"serving": serving})

    def told(one: Pipeline) -> dict[tuple[str, ...], float]:
        samples = observe(one, sources, NOW)
        return {(each.name, *each.labels): each.value for each in samples if "_trial_" in each.name}

    publish_day(trying, store, 0)
    assert told(trying) == {}

    version = show_canary(trying, store, 1)
    since = datetime.fromisoformat(Ledger(trying, store, "canary").last_move["time"]).timestamp()
    assert told(trying) == {
        ("retraining_trial_timestamp_seconds", str(version.number)): since,
        ("retraining_trial_limit_seconds",): 90 * 60,
    }
    # Its share may be open still; that is another alarm.
    assert told(pipeline) == {}

    withdraw(trying, store, version)
    assert told(trying) == {}


@pytest.mark.parametrize(
    ("now", "zone", "due"),
    [
        ("2026-03-14T05:59:00+00:00", "UTC", "2026-03-13T00:00:00+00:00"),
        ("2026-03-14T06:00:00+00:00", "UTC", "2026-03-14T00:00:00+00:00"),
        ("2026-03-14T05:30:00+00:00", "Europe/Berlin", "2026-03-14T00:00:00+01:00"),
        ("2026-03-13T21:30:00+00:00", "Asia/Tokyo", "2026-03-14T00:00:00+09:00"),
    ],
)
def test_yesterday_is_due_at_six_in_the_pipelines_time_zone(pipeline: Pipeline, now, zone, due):
    there = pipeline.model_copy(update={"landing": pipeline.landing.model_copy(update={"time_zone": zone})})

    assert due_watermark(there, datetime.fromisoformat(now)) == datetime.fromisoformat(due)


def test_when_a_day_is_due_and_how_many_may_be_missed_is_the_pipelines_to_say(
    pipeline: Pipeline, store: Store, sources: Sources
):
    settings = pipeline.serving.model_copy(update={"published_by": "09:30", "blocked_nights": 7})
    late = pipeline.model_copy(update={"serving": settings})
    publish_day(pipeline, store, 0)

    def told(one: Pipeline, at: str) -> tuple[float, float]:
        moment = datetime.fromisoformat(f"2026-03-14T{at}:00+00:00")
        seen = {sample.name: sample.value for sample in observe(one, sources, moment)}
        return seen["retraining_blocked_nights"], seen["retraining_blocked_nights_limit"]

    assert [told(pipeline, at) for at in ("05:59", "06:00")] == [(2, 3), (3, 3)]
    assert [told(late, at) for at in ("06:00", "09:30")] == [(2, 7), (3, 7)]


@pytest.mark.parametrize("written", ["'25:00'", "'6:00'", "'06:00:00'", "10:30"])
def test_a_time_that_is_none_is_refused_and_so_is_one_that_yaml_takes_for_a_number(written: str):
    settings = yaml.safe_load(f"{{model: clicks, published_by: {written}}}")

    with pytest.raises(ValidationError, match='expected a time of day in quotes, such as "06:00", found'):
        Serving.model_validate(settings)


def test_every_metric_can_be_scraped_by_its_name(pipeline, sources):
    registry = CollectorRegistry()
    registry.register(Exposition([pipeline], sources))

    text = generate_latest(registry).decode()

    assert all(f"# HELP {name} " in text for name in METRICS)
    assert 'retraining_source_up{pipeline="clicks",source="model-server"} 0.0' in text


def test_a_port_that_is_taken_is_named(pipeline, sources):
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(Misconfigured, match="Choose another"),
    ):
        serve_metrics([pipeline], sources, taken.getsockname(), threading.Event())


def test_a_watch_that_was_asked_for_and_never_looked_is_seen(pipeline, sources):
    watching = pipeline.serving.model_copy(update={"watch": Watch(alerts=("UsersSeeErrors",))})
    watched = pipeline.model_copy(update={"serving": watching})
    name = "retraining_watch_timestamp_seconds"

    def looked_at(one: Pipeline) -> list[float]:
        return [sample.value for sample in observe(one, sources, NOW) if sample.name == name]

    assert (looked_at(pipeline), looked_at(watched)) == ([], [0.0])
    Notebook(watched, sources.store).write({"concerns": {}, "seen_at": NOW.isoformat()})
    assert looked_at(watched) == [NOW.timestamp()]


def test_the_word_on_a_canary_is_that_of_the_latest_day_that_tells_and_says_whom_it_answers(
    pipeline, store, sources
):
    canary = pipeline.serving.model_copy(update={"canary": Canary()})
    records = Records(pipeline.model_copy(update={"serving": canary}), store)
    old, served, tried = (publish(records, day) for day in (2, 3, 4))
    give_users(records, served, "rollback", "it was better")
    records.ledger.record(Move("push", "canary", tried, None, "ada", "better"))
    for version, verdict, day in [
        (old, "DOUBTED", 3),
        (served, "DOUBTED", 6),
        (served, "CONFIRMED", 4),
        (served, "INCONCLUSIVE", 7),
        (tried, "INCONCLUSIVE", 6),
    ]:
        evidence = f"store:clicks/realised/2026-11-{day:02d}-0a1b"
        move = Move("reassess", "canary", version, version.number, "ada", "clicks", verdict, evidence)
        records.ledger.note(move)

    samples = observe(records.pipeline, sources, NOW)

    assert [one.labels for one in samples if one.name == "retraining_realised_verdict_info"] == [
        ("20261102001", "DOUBTED", "none"),
        ("20261103001", "DOUBTED", "stable"),
        ("20261104001", "INCONCLUSIVE", "canary"),
    ]
