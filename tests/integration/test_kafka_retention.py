"""What a topic of Apache Kafka has lost, before and while it is landed, and what a person can do about it."""

from __future__ import annotations

import itertools
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from ml.artifact import Artifact, Window
from ml.backfill import Asked
from ml.backfill.day_plan import DayPlan
from ml.backfill.plan import Tracing, touched_windows
from ml.connections import KafkaConnection
from ml.day import Day
from ml.errors import NoRecords, WindowExpired
from ml.landing import Remains, examples, survey_topic
from ml.landing import topic as topic_module
from ml.landing.expiry import read_ranges
from ml.landing.progress import Progress
from ml.landing.ranges import OffsetManifest
from ml.landing.topic import Topic
from ml.pipelines import load_pipeline
from ml.store import Store
from ml.walk import Walk
from tests.demo.clicks import Day as ClickDay
from tests.demo.kafka import Kafka, running_kafka
from tests.demo.produce import produce as produce_clicks
from tests.demo.stack import Services
from tests.integration.airflow_nights import copy_pipeline
from tests.integration.expiring import KINDS, Expiring, the_day_before
from tests.integration.landed import (
    SEEKS,
    Landing,
    answer_of,
    check_against,
    check_both_ways,
    land,
    land_by,
    plain,
)
from tests.integration.oracle import Answer, read_topic
from tests.integration.topic_kinds import EXAMPLE, SETTLE, Writer
from tests.integration.walking import SMALL, World, opened_world

pytestmark = pytest.mark.integration

PARTITIONS, RECORDS = 2, 400
HOUR = 3_600_000


@pytest.fixture(scope="module")
def cluster(kafka_can_run: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    often = {"log.retention.check.interval.ms": 100}
    with running_kafka(tmp_path_factory.mktemp("kafka") / "cluster", properties=often) as cluster:
        yield cluster


@pytest.fixture
def kafka(cluster: Kafka, monkeypatch: pytest.MonkeyPatch) -> KafkaConnection:
    """How to reach the cluster, for steps and for commands."""
    connection = {"config": {"bootstrap.servers": cluster.bootstrap}}
    monkeypatch.setenv("RETRAIN_KAFKA", json.dumps(connection))
    return KafkaConnection.of(connection, "the cluster")


@pytest.fixture
def topic(cluster: Kafka, topic_name: str) -> str:
    """An empty topic that keeps everything, and the clicks pipeline reading it by time."""
    cluster.topics.create(topic_name, PARTITIONS, {"retention.ms": "-1"})
    return topic_name


@pytest.fixture
def day(cluster: Kafka, topic: str, window: Window) -> str:
    """The topic with a day of records, evenly over time and partitions."""
    step = (window.end_ms - window.start_ms) // RECORDS
    produce(cluster, topic, [window.start_ms + number * step for number in range(RECORDS)])
    return topic


def produce(
    cluster: Kafka, topic: str, times: list[int], arrival: int | None = None, keys: int | None = None
) -> None:
    in_order = {"enable.idempotence": True, "batch.num.messages": 10, "log_level": 0}
    producer = Producer({"bootstrap.servers": cluster.bootstrap, **in_order})
    for number, time in enumerate(times):
        value = json.dumps({**EXAMPLE, "event_id": f"{time}-{number}", "event_time": time}).encode()
        key = None if keys is None else str(number % keys)
        producer.produce(topic, value, key, partition=number % PARTITIONS, timestamp=arrival or time)
    assert producer.flush(60) == 0


def lose(cluster: Kafka, topic: str, partition: int, before: int) -> Callable[[], None]:
    return lambda: cluster.topics.delete_records(topic, partition, before)


def on_reading(monkeypatch: pytest.MonkeyPatch, event: Callable[[], None]) -> None:
    """Let something happen once, after the offsets were fixed and before the first is read."""

    def read_after(*arguments: Any) -> Iterator[Any]:
        monkeypatch.undo()
        event()
        return read_ranges(*arguments)

    monkeypatch.setattr(examples, "read_ranges", read_after)


def read_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read ten records at a time, and hardly any ahead."""
    little = {"queued.max.messages.kbytes": 1, "fetch.message.max.bytes": 1_000}
    monkeypatch.setattr(topic_module, "SETTINGS", {**topic_module.SETTINGS, **little})
    monkeypatch.setattr(topic_module, "BATCH_RECORDS", 10)


def on_writing(monkeypatch: pytest.MonkeyPatch, event: Callable[[], None]) -> None:
    """Let something happen when the second block has been written."""
    advance, blocks = Progress.advance, itertools.count(1)

    def advance_after(progress: Progress, records: int) -> None:
        if next(blocks) == 2:
            event()
        advance(progress, records)

    monkeypatch.setattr(Progress, "advance", advance_after)


@pytest.fixture(params=SEEKS)
def in_small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Landing finds its offsets by time or by scan, and reads a day in many blocks."""
    monkeypatch.setenv("RETRAIN_CLICKS__LANDING__SEEK", request.param)
    read_little(monkeypatch)
    return monkeypatch


@pytest.fixture(params=KINDS, ids=lambda kind: kind.kind)
def expiring(request: pytest.FixtureRequest, cluster: Kafka, topic_name: str) -> Expiring:
    """A day of records that the broker will delete because of their age."""
    expiring: Expiring = request.param(cluster, topic_name)
    expiring.fill()
    return expiring


def check_expired(expiring: Expiring, window: Window, kafka: KafkaConnection) -> None:
    """By time and by scan, an error says of each partition where it begins and how much is lost."""
    expected = list(expiring.expected(window))
    for seek in SEEKS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RETRAIN_CLICKS__LANDING__SEEK", seek)
            with pytest.raises(WindowExpired, match="in 2 of 2 partitions") as raised:
                land(window, kafka)
        assert str(raised.value).splitlines()[1:-1] == expected


def test_what_retention_has_deleted_is_an_error_with_its_size_by_time_and_by_scan(
    store: Store, kafka: KafkaConnection, expiring: Expiring, tmp_path: Path
) -> None:
    expiring.lose_most()
    check_expired(expiring, expiring.window, kafka)
    left = check_both_ways(
        tmp_path, expiring.kafka, expiring.name, expiring.window, accept_gap="the rest will do"
    )
    assert len(left.accepted) == len(expiring.left()) > 0
    check_expired(expiring, the_day_before(expiring.window), kafka)

    expiring.lose_all()
    check_expired(expiring, expiring.window, kafka)
    with pytest.raises(NoRecords):
        land(expiring.window, kafka, accept_gap="it is gone")
    assert [manifest.facts["accepted"] for manifest in store.manifests("clicks", "examples")] == [0]
    gone = check_both_ways(
        tmp_path / "gone", expiring.kafka, expiring.name, expiring.window, accept_gap="it is gone"
    )
    assert gone == Answer()


def test_what_was_accepted_stays_whatever_retention_takes_later(
    store: Store, window: Window, cluster: Kafka, kafka: KafkaConnection, day: str
) -> None:
    cluster.topics.delete_records(day, 0, before=100)
    accepted = land(window, kafka, accept_gap="broker outage")
    cluster.topics.delete_records(day, 1, before=150)

    assert land(window, kafka) == accepted
    with pytest.raises(WindowExpired, match="in 2 of 2 partitions"):
        land(window, kafka, refresh="late events")
    assert land(window, kafka) == accepted


def test_a_partition_that_expires_while_it_is_read_is_never_a_smaller_day(
    store: Store,
    window: Window,
    cluster: Kafka,
    kafka: KafkaConnection,
    day: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_little(monkeypatch)
    with Topic(kafka, day) as reader:
        blocks = reader.read(0, 0, 200)
        next(blocks)
        cluster.topics.delete_records(day, 0, before=190)

        with pytest.raises(WindowExpired, match="no longer there"):
            list(blocks)


def test_what_retention_deletes_while_it_is_read_is_an_error_until_a_person_accepts_it(
    store: Store, kafka: KafkaConnection, expiring: Expiring, in_small_blocks: pytest.MonkeyPatch
) -> None:
    on_writing(in_small_blocks, expiring.lose_most)

    with pytest.raises(WindowExpired, match=r"of the window .* since its offsets were fixed") as raised:
        land(expiring.window, kafka)

    assert str(raised.value).splitlines()[1:-1] == list(expiring.expected(expiring.window))
    assert list(store.manifests("clicks", "examples")) == []
    assert {path.parent.suffix for path in store.root.rglob("*.parquet")} == {".partial"}
    landed = land(expiring.window, kafka, accept_gap="retention was faster")
    check_against(answer_of(expiring.kafka, expiring.name, expiring.window), Landing(landed, store))
    accepted = store.manifest(landed)
    assert accepted.facts["accepted"] == len(expiring.left()) > 0
    [share] = re.findall(r"has deleted (about \d+%) of the window", str(raised.value))
    [caveat] = accepted.caveats
    assert caveat.endswith(f": {share} of the window was lost to retention, accepted: retention was faster")


def test_a_window_of_which_only_the_slack_expired_is_landed_by_a_refreshment(
    store: Store,
    window: Window,
    cluster: Kafka,
    kafka: KafkaConnection,
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    produce(cluster, topic, [window.start_ms - HOUR] * 10 + [window.start_ms, window.start_ms] * 10)
    with monkeypatch.context() as patched:
        on_reading(patched, lose(cluster, topic, 0, 5))
        with pytest.raises(WindowExpired, match=r"The window itself is still there: land it"):
            land(window, kafka)

    landed = land(window, kafka, refresh="retention passed the slack")
    assert store.manifest(landed).facts["accepted"] == 20
    assert store.manifest(landed).caveats == []


def test_a_compacted_topic_says_where_it_begins_and_is_landed_if_a_person_accepts_it(
    store: Store, window: Window, cluster: Kafka, kafka: KafkaConnection, topic: str, tmp_path: Path
) -> None:
    at_once = {"cleanup.policy": "compact", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01"}
    cluster.topics.configure(topic, at_once)
    step = (window.end_ms - window.start_ms) // RECORDS
    produce(cluster, topic, [window.start_ms + number * step for number in range(RECORDS)], keys=4)
    for partition in range(PARTITIONS):
        cluster.topics.wait_until_compacted(topic, partition, before=188)

    for seek in SEEKS:
        with pytest.raises(WindowExpired, match=r"is compacted .* cannot be known") as raised:
            land_by(seek, tmp_path / seek, topic, window, plain(cluster))
        beginnings = re.findall(
            r"partition (\d): .* at 2026-03-10T2[23]:\S+ \(offset 1[89]\d\)", str(raised.value)
        )
        assert beginnings == ["0", "1"]

    left = check_both_ways(tmp_path, cluster, topic, window, accept_gap="keys are sessions")
    assert 0 < len(left.accepted) <= 2 * 12
    accepted = land(window, kafka, accept_gap="keys are sessions")
    assert store.manifest(accepted).caveats == [
        "2026-03-10: compaction may have removed records of the window, accepted: keys are sessions"
    ]


def test_a_survey_says_of_every_day_what_its_landing_would_meet(
    window: Window, cluster: Kafka, kafka: KafkaConnection, day: str
) -> None:
    pipeline, length = load_pipeline("clicks"), window.end - window.start
    before, after = (Window(window.start + move, window.end + move) for move in (-length, length))

    whole = survey_topic(pipeline, [window, after], kafka)
    cluster.topics.delete_records(day, 0, before=100)
    partly, earlier = survey_topic(pipeline, [window, before], kafka)
    cluster.topics.configure(day, {"cleanup.policy": "delete,compact"})
    [compacted] = survey_topic(pipeline, [after], kafka)

    assert whole == [Remains("complete", 0.0, RECORDS), Remains("complete", 0.0, 0)]
    assert (partly.retention, partly.records) == ("partly expired", RECORDS - 100)
    assert partly.lost == pytest.approx(0.25, abs=0.01)
    assert (earlier.retention, earlier.records) == ("partly expired", 0)
    assert compacted.retention == "compacted"


def test_late_events_are_counted_where_the_offsets_are_found_by_time(
    store: Store, window: Window, cluster: Kafka, kafka: KafkaConnection, day: str
) -> None:
    tomorrow = Window(window.start + timedelta(1), window.end + timedelta(1))
    land(window, kafka)
    produce(cluster, day, [window.end_ms - 1] * 3, arrival=window.end_ms + 12 * HOUR)
    produce(cluster, day, [tomorrow.start_ms])

    landed = land(tomorrow, kafka)
    refreshed = land(window, kafka, refresh="three came late")

    assert store.manifest(landed).measurements["late_by_day"]["2026-03-10"] == 3
    assert store.manifest(refreshed).facts["accepted"] == RECORDS + 3


YESTERDAY, TODAY, EVENTS = date(2026, 3, 9), date(2026, 3, 10), 3_000


def gather(home: Path, days: Sequence[date]) -> dict[date, Artifact]:
    """Each day's training window, of nights that are walked in this order and may accept a gap."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRAIN_HOME", str(home))
        windows = {day: Window.of_day(day, "UTC") for day in days}
        return {day: Walk("clicks", windows[day], accept_gap="broker outage").gather_window for day in days}


def nights_to_learn_anew(home: Path, days: Sequence[date], kafka: KafkaConnection) -> list[str]:
    """The days of which the plan of such nights says that they would gather their training window anew."""
    pipeline, store = load_pipeline("clicks"), Store(home / "store")
    nights = [Day(pipeline, Window.of_day(day, "UTC"), store) for day in days]
    touched = touched_windows(nights)
    remains = dict(zip(touched, survey_topic(pipeline, touched, kafka), strict=True))
    plans = Tracing(nights, remains, Asked(accept_gap="broker outage")).plan(None)
    return [plan["day"] for plan in plans if outcome_of("training_window", plan) == "new"]


def outcome_of(kind: str, plan: DayPlan) -> str:
    [outcome] = [step["outcome"] for step in plan["steps"] if step["kind"] == kind]
    return str(outcome)


def test_a_gap_that_was_accepted_after_a_later_night_is_made_good_by_the_same_days_once_more(
    tmp_path: Path, cluster: Kafka, kafka: KafkaConnection, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_CLICKS__TRAINING__WINDOW_DAYS", "2")
    days, newest_first, here = [YESTERDAY, TODAY], [TODAY, YESTERDAY], tmp_path / "backward"
    for seed, day in enumerate(days):
        produce_clicks(ClickDay(day, EVENTS, seed=seed), cluster.bootstrap, topic, PARTITIONS)
    cluster.topics.delete_records(topic, 0, before=100)

    forward, backward = gather(tmp_path / "forward", days), gather(here, newest_first)

    assert [backward[day] == forward[day] for day in days] == [True, False]
    assert nights_to_learn_anew(here, days, kafka) == [str(TODAY)]
    assert gather(here, newest_first) == forward
    assert nights_to_learn_anew(here, days, kafka) == []


@pytest.fixture
def world(cluster: Kafka, services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two days of clicks, under a name of their own. Events are taken once however often they are there."""
    pipelines, home = tmp_path_factory.mktemp("pipelines"), tmp_path_factory.mktemp("gapped")
    changes = {"landing": {"topic": "gapped", "deduplicate": "event_id"}, "training": {"epochs": 1}}
    copy_pipeline(pipelines, "gapped", **changes)
    connection = json.dumps({"config": plain(cluster)})
    settings = {"RETRAIN_PIPELINES": str(pipelines), "RETRAIN_LANDING__SEEK": "time"}
    cluster.topics.create("gapped", PARTITIONS)
    with opened_world("gapped", home, services, {**SMALL, **settings, "RETRAIN_KAFKA": connection}) as world:
        yield world


def produce_exceptions(cluster: Kafka, world: World) -> None:
    """A day of which the morning is gone, with records twice, some too late, and some of the day before."""
    window = world.walk(TODAY).window
    before = read_topic(plain(cluster), "gapped")
    ends = [sum(record.place[0] == partition for record in before) for partition in range(PARTITIONS)]
    produce_clicks(ClickDay(TODAY, EVENTS, seed=2), cluster.bootstrap, "gapped", PARTITIONS)
    todays = read_topic(plain(cluster), "gapped")[-100:]
    writer = Writer(cluster, "gapped")
    for record in todays[:5]:
        writer.value(record.value, record.timestamp, record.place[0])
    for record in todays[5:7]:
        writer.value(record.value, window.end_ms + SETTLE, record.place[0])
    for record in before[-3:]:
        writer.value(record.value, window.end_ms - HOUR, record.place[0])
    writer.flush()
    for partition, end in enumerate(ends):
        cluster.topics.delete_records("gapped", partition, before=end + EVENTS // PARTITIONS // 4)


@pytest.fixture
def exceptional(cluster: Kafka, world: World) -> Walk:
    """The night of that day, which a person accepts as it is; the day before was landed in its own night."""
    produce_clicks(ClickDay(YESTERDAY, EVENTS, seed=1), cluster.bootstrap, "gapped", PARTITIONS)
    assert world.walk(YESTERDAY).land_examples
    produce_exceptions(cluster, world)
    return replace(world.walk(TODAY), accept_gap="broker outage")


def test_what_was_accepted_counted_and_dropped_is_said_of_all_that_the_night_makes(
    cluster: Kafka, world: World, exceptional: Walk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ml.landing")
    version = exceptional.log_to_mlflow["model_version"]
    [run] = world.runs()

    check_counts(answer_of(cluster, "gapped", exceptional.window), run["metrics"], caplog.text)
    [caveat] = world.store.manifest(exceptional.land_examples).caveats
    made = {
        **exceptional.made,
        "blessing": exceptional.decide_blessing,
        "pushed_model": exceptional.push_model,
    }
    caveats = {kind: world.store.manifest(artifact).caveats for kind, artifact in made.items()}
    assert re.search(r"about \d+% of the window was lost to retention, accepted: broker outage", caveat)
    assert {
        "examples",
        "statistics",
        "training_window",
        "model",
        "evaluation",
        "pushed_model",
    } < caveats.keys()
    [fixed] = [
        offsets for offsets in world.store.manifests("gapped", "offsets") if offsets.caveats == [caveat]
    ]
    assert OffsetManifest.read(world.store.open(fixed.artifact)).decision.accept_gap == "broker outage"
    assert [kind for kind, known in caveats.items() if known != [caveat]] == ["production"]
    assert run["tags"]["retraining.caveats"] == caveat
    assert f"Accepted by a person:\n\n- {caveat}" in run["tags"]["mlflow.note.content"]
    assert world.mlflow.get_model_version("gapped", version).tags["retraining.caveats"] == caveat


def check_counts(answer: Answer, metrics: Mapping[str, float], log: str) -> None:
    """What was dropped, and what came too late, stands in the log and in MLflow."""
    names, repeats = answer.ids("event_id"), 5
    assert (len(answer.accepted), len(answer.late)) == (len(names) + repeats, 2)
    assert f"{len(names)} examples out of" in log
    assert f"late: 2; repeats: {repeats}" in log
    assert "3 of 2026-03-09. To add them: python -m ml land_examples" in log
    logged = [metrics[f"examples.{count}"] for count in ("accepted", "duplicates", "late")]
    assert (logged, metrics["landing.late_1d_ago"]) == ([len(names), repeats, 2], 3)
