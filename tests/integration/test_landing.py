"""Landing from a real broker, as the steps do it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from ml.__main__ import main
from ml.artifact import Artifact, Window
from ml.backfill import Asked
from ml.connections import KafkaConnection
from ml.day import Day
from ml.decisions import Decisions
from ml.errors import (
    Misconfigured,
    NoRecords,
    Removed,
    RetrainingError,
    TooManyRejects,
    Unavailable,
    WindowExpired,
)
from ml.housekeeping.plan import read_plan
from ml.housekeeping.removing import remove_artifacts
from ml.landing import survey_topic
from ml.landing import topic as topic_module
from ml.landing.ranges import OFFSETS_FILE
from ml.landing.topic import Topic
from ml.pipelines import load_pipeline
from ml.store import Store
from tests.demo.broker import Broker, running_broker
from tests.demo.ports import free_port
from tests.demo.produce import create_topic
from tests.integration.landed import land
from tests.integration.midway import Moment, kill_at
from tests.integration.topic_kinds import EXAMPLE

pytestmark = pytest.mark.integration

DATE = date(2026, 3, 10)
PARTITIONS = 3
MINUTE = 60_000


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_broker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture
def kafka(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> KafkaConnection:
    """How to reach the broker, for steps and for commands."""
    connection = {"config": {"bootstrap.servers": broker.bootstrap}}
    monkeypatch.setenv("RETRAIN_KAFKA", json.dumps(connection))
    return KafkaConnection.of(connection, "the broker")


@pytest.fixture
def topic(broker: Broker, topic_name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty topic, and the clicks pipeline reading it."""
    create_topic(broker.bootstrap, topic_name, PARTITIONS)
    monkeypatch.setenv("RETRAIN_CLICKS__LANDING__SEEK", "scan")
    return topic_name


class Log:
    """Writes into a topic, partition by partition in turn."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})
        self._topic = topic
        self._count = 0

    def add(self, value: bytes | None, timestamp: int) -> None:
        self._producer.produce(self._topic, value, partition=self._count % PARTITIONS, timestamp=timestamp)
        self._count += 1

    def add_event(self, time: int, arrival: int | None = None, **more: Any) -> None:
        record = {**EXAMPLE, "event_id": f"e{self._count}", "event_time": time, **more}
        self.add(json.dumps(record).encode(), time if arrival is None else arrival)

    def add_day(self, window: Window, records: int = 600) -> None:
        step = (window.end_ms - window.start_ms) // records
        for number in range(records):
            self.add_event(window.start_ms + number * step)
        self.flush()

    def flush(self) -> None:
        assert self._producer.flush(30) == 0


@pytest.fixture
def log(broker: Broker, topic: str) -> Log:
    return Log(broker, topic)


def table_of(store: Store, artifact: Artifact) -> pa.Table:
    return pa.concat_tables(
        pq.read_table(part) for part in sorted(store.open(artifact).glob("part-*.parquet"))
    )


def test_a_day_lands_in_the_order_of_partitions_and_offsets(
    store: Store, window: Window, kafka: KafkaConnection, log: Log
) -> None:
    log.add_day(window)

    artifact = land(window, kafka)

    table = table_of(store, artifact)
    places = list(zip(table["_partition"].to_pylist(), table["_offset"].to_pylist(), strict=True))
    assert places == [(partition, offset) for partition in range(PARTITIONS) for offset in range(200)]
    assert sorted(table["event_id"].to_pylist()) == sorted(f"e{number}" for number in range(600))
    assert store.manifest(artifact).facts["accepted"] == 600


def test_every_kind_of_record_is_counted(
    store: Store, window: Window, kafka: KafkaConnection, log: Log
) -> None:
    log.add_day(window)
    settled = window.end_ms + 120 * MINUTE
    log.add_event(window.start_ms - 1)
    log.add_event(window.end_ms)
    log.add_event(window.end_ms - 1, arrival=settled - 1)
    log.add_event(window.end_ms - 1, arrival=settled)
    log.add_event(window.start_ms, experiment="b")
    log.add(b'{"event_time": 17', window.start_ms)
    log.add(b"oops", window.start_ms + 5)
    log.add(b"yesterday's oops", window.start_ms - 5)
    log.add(None, window.start_ms)
    log.flush()

    artifact = land(window, kafka)

    facts = store.manifest(artifact).known
    assert (facts["scanned"], facts["accepted"], facts["late"], facts["outside"]) == (609, 602, 1, 3)
    assert facts["rejected"] == {"not JSON": 2, "tombstone": 1}
    assert facts["unknown_fields"] == {"experiment": 1}
    rejects = pq.read_table(store.open(artifact) / "rejects.parquet")
    assert set(rejects["value"].to_pylist()) == {None, b"oops", b'{"event_time": 17'}


def test_a_second_landing_elsewhere_has_the_same_digest(
    tmp_path: Path, window: Window, kafka: KafkaConnection, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.add_day(window)
    log.add(b"oops", window.start_ms)
    log.flush()
    digests = []
    for name, batch in [("a", 8_192), ("b", 7)]:
        monkeypatch.setenv("RETRAIN_HOME", str(tmp_path / name))
        monkeypatch.setattr(topic_module, "BATCH_RECORDS", batch)
        digests.append(land(window, kafka)["digest"])

    assert digests[0] == digests[1]


def test_what_is_produced_after_the_offsets_were_fixed_changes_nothing(
    tmp_path: Path, window: Window, kafka: KafkaConnection, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.add_day(window)
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path / "undisturbed"))
    undisturbed = land(window, kafka)
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path / "disturbed"))
    kill_at(BEFORE_THE_FIRST_RECORD, "clicks", DATE)
    log.add_event(window.start_ms)
    log.flush()

    assert land(window, kafka) == undisturbed


BEFORE_THE_FIRST_RECORD = Moment("land_examples", "ml.landing.examples.read_ranges")
KILL_POINTS = {
    "before the offsets are written": Moment("land_examples", "ml.landing.offsets.check_gap"),
    "before the first record": BEFORE_THE_FIRST_RECORD,
    "in the middle": Moment("land_examples", "ml.landing.tally.Tally.add", call=2),
    "before the manifest": Moment("land_examples", "ml.landing.examples._sentence"),
}


@pytest.mark.parametrize("point", KILL_POINTS.values(), ids=KILL_POINTS.keys())
def test_a_killed_landing_is_followed_by_one_with_the_same_digest(
    tmp_path: Path,
    window: Window,
    kafka: KafkaConnection,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    point: Moment,
) -> None:
    log.add_day(window)
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path / "undisturbed"))
    undisturbed = land(window, kafka)
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path / "killed"))

    kill_at(point, "clicks", DATE)

    assert land(window, kafka) == undisturbed
    leftovers = [path for path in (tmp_path / "killed").rglob("*") if path.name.endswith(".partial")]
    assert leftovers == []


def test_late_events_join_the_day_when_a_person_wants_it_and_then_for_every_landing(
    store: Store, window: Window, kafka: KafkaConnection, log: Log
) -> None:
    log.add_day(window)
    first = land(window, kafka)
    log.add_event(window.end_ms - 1, arrival=window.end_ms + 5_000 * MINUTE)
    log.add_event(window.end_ms - 1, arrival=window.end_ms - 1)
    log.flush()
    assert land(window, kafka) == first

    refreshed = land(window, kafka, refresh="a delayed batch")

    assert store.manifest(refreshed).facts["accepted"] == 602
    assert store.manifest(refreshed).measurements["late"] == 0
    assert land(window, kafka) == land(window, kafka, refresh="a delayed batch") == refreshed
    assert store.manifest(first).facts["accepted"] == 600
    ranges = json.loads((store.open(refreshed) / OFFSETS_FILE).read_bytes())
    assert ranges["decision"] == {"refresh": "a delayed batch"}


def test_the_command_line_and_the_steps_share_a_decision(
    store: Store,
    window: Window,
    kafka: KafkaConnection,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.add_day(window, records=30)
    log.add_event(window.end_ms - 1, arrival=window.end_ms + 5_000 * MINUTE)
    log.flush()

    assert (
        main(["land_examples", "--pipeline", "clicks", "--day", "2026-03-10", "--refresh", "one late"]) == 0
    )

    refreshed = json.loads(capsys.readouterr().out)
    assert store.manifest(refreshed).facts["accepted"] == 31
    assert land(window, kafka) == refreshed


def test_a_refreshment_that_would_lose_examples_changes_nothing(
    store: Store,
    window: Window,
    kafka: KafkaConnection,
    broker: Broker,
    topic: str,
) -> None:
    Log(broker, topic).add_day(window)
    first = land(window, kafka)
    made_anew(broker, topic, {})
    Log(broker, topic).add_day(window, records=30)

    with pytest.raises(WindowExpired, match="holds 30 examples of the window; expected at least the 600"):
        land(window, kafka, refresh="late events")
    assert land(window, kafka) == first

    accepted = land(window, kafka, refresh="late events", accept_gap="the topic was lost")
    assert store.manifest(accepted).facts["accepted"] == 30
    [caveat] = store.manifest(accepted).caveats
    assert caveat.endswith("nobody can say how many, accepted: the topic was lost")


def test_a_compacted_topic_is_landed_only_if_a_person_accepts_it(
    store: Store, window: Window, kafka: KafkaConnection, broker: Broker, topic: str
) -> None:
    made_anew(broker, topic, {"cleanup.policy": "compact,delete"})
    Log(broker, topic).add_day(window, records=30)
    with pytest.raises(WindowExpired, match="is compacted"):
        land(window, kafka)

    accepted = land(window, kafka, accept_gap="keys are unique")

    assert store.manifest(accepted).caveats == [
        "2026-03-10: compaction may have removed records of the window, accepted: keys are unique"
    ]
    assert land(window, kafka) == land(window, kafka, accept_gap="again") == accepted


def test_a_plan_foresees_what_each_landing_decides(
    store: Store, window: Window, kafka: KafkaConnection, broker: Broker, topic: str
) -> None:
    day = Day(load_pipeline("clicks"), window, store)

    def decide(refresh: str = "", accept_gap: str = "") -> dict[str, str]:
        [remains] = survey_topic(day.pipeline, [window], kafka)
        foreseen = Asked(accept_gap=accept_gap, refresh_landing=refresh).decide(day, remains)
        land(window, kafka, refresh=refresh, accept_gap=accept_gap)
        assert foreseen == Decisions.of(day).standing
        return foreseen.as_json()

    Log(broker, topic).add_day(window, records=30)
    assert decide(accept_gap="just in case") == {}
    assert decide(refresh="late") == decide(refresh="late") == {"refresh": "late"}
    made_anew(broker, topic, {"cleanup.policy": "compact,delete"})
    Log(broker, topic).add_day(window, records=30)
    assert decide(accept_gap="keys are unique") == {"refresh": "late"}
    assert decide(refresh="more", accept_gap="keys are unique") == {
        "refresh": "more",
        "accept_gap": "keys are unique",
    }


def keep_house_next_year(store: Store) -> None:
    """Let housekeeping remove everything that nobody has used for a year."""
    plan = read_plan(load_pipeline("clicks"), store, {}, {}, datetime.now(timezone.utc) + timedelta(days=365))
    assert remove_artifacts(store, plan, lambda: nullcontext(True)).removed


def test_a_day_that_housekeeping_removed_is_landed_again_to_the_byte(
    store: Store, window: Window, kafka: KafkaConnection, log: Log
) -> None:
    log.add_day(window)
    first = land(window, kafka)
    keep_house_next_year(store)
    with pytest.raises(Removed, match="python -m ml land_examples --pipeline clicks --day 2026-03-10"):
        store.open(first)

    assert land(window, kafka) == first
    store.open(first)


def test_a_day_that_housekeeping_removed_and_the_topic_has_lost_says_both(
    store: Store, window: Window, kafka: KafkaConnection, broker: Broker, topic: str
) -> None:
    Log(broker, topic).add_day(window)
    land(window, kafka)
    keep_house_next_year(store)
    made_anew(broker, topic, {"cleanup.policy": "compact,delete"})

    with pytest.raises(WindowExpired) as told:
        land(window, kafka)
    assert "is compacted" in str(told.value)
    assert "2026-03-10 had been landed before, and housekeeping removed that on" in str(told.value)


def test_a_reason_for_a_gap_changes_nothing_where_there_is_none(
    store: Store, window: Window, kafka: KafkaConnection, log: Log
) -> None:
    log.add_day(window)

    assert land(window, kafka, accept_gap="just in case") == land(window, kafka)
    assert not (store.root / "clicks" / "landing").exists()


def test_late_events_are_counted_in_the_next_night_and_in_that_one_only(
    store: Store, window: Window, kafka: KafkaConnection, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    nights = [Window(window.start + timedelta(days), window.end + timedelta(days)) for days in range(3)]
    log.add_day(nights[0])
    land(nights[0], kafka)
    log.add_event(nights[0].end_ms - 1, arrival=nights[1].end_ms)
    log.add_event(nights[0].end_ms - 2, arrival=nights[0].end_ms - 2)
    log.add_day(nights[1])
    second = land(nights[1], kafka)
    log.add_event(nights[0].start_ms, arrival=nights[2].end_ms)
    log.add_day(nights[2])
    third = land(nights[2], kafka)

    late = [store.manifest(night).measurements["late_by_day"] for night in (second, third)]
    found = [{day: count for day, count in counts.items() if count is not None} for counts in late]
    assert found == [{"2026-03-10": 2}, {"2026-03-10": 1, "2026-03-11": 0}]
    assert "2 of 2026-03-10. To add them: python -m ml land_examples --pipeline clicks --day" in caplog.text


def following(window: Window, days: int) -> Window:
    return Window(window.start + timedelta(days), window.end + timedelta(days))


def test_a_day_that_was_never_landed_has_no_late_events_and_the_log_says_so(
    store: Store, window: Window, kafka: KafkaConnection, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log.add_day(window)
    land(window, kafka)
    outage, tonight = following(window, 1), following(window, 2)
    log.add_day(outage)
    log.add_event(window.end_ms - 1, arrival=outage.end_ms)
    log.add_day(tonight)

    late = store.manifest(land(tonight, kafka)).measurements["late_by_day"]

    assert (late["2026-03-11"], late["2026-03-10"], set(late.values())) == (None, 1, {None, 1})
    assert "2026-03-09, 2026-03-11 are not counted, because the store has no landing" in caplog.text
    assert "1 of 2026-03-10. To add them" in caplog.text


@pytest.mark.parametrize("setting", ["DEDUPLICATE=event_id", "SLACK_MINUTES=60"])
def test_late_events_are_counted_in_the_first_night_with_another_setting_too(
    store: Store,
    window: Window,
    kafka: KafkaConnection,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
) -> None:
    log.add_day(window)
    land(window, kafka)
    log.add_event(window.end_ms - 1, arrival=following(window, 1).end_ms - 1, event_id="late")
    log.add_day(following(window, 1))

    name, value = setting.split("=")
    monkeypatch.setenv(f"RETRAIN_CLICKS__LANDING__{name}", value)
    landed = land(following(window, 1), kafka)

    assert store.manifest(landed).measurements["late_by_day"]["2026-03-10"] == 1


def test_what_a_refreshment_has_added_is_not_late_any_more_and_what_came_since_is(
    store: Store, window: Window, kafka: KafkaConnection, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log.add_day(window)
    land(window, kafka)
    log.add_event(window.end_ms - 1, arrival=following(window, 1).end_ms)
    log.flush()
    land(window, kafka, refresh="one came late")
    assert "not counted, because this is a refreshment" in caplog.text
    log.add_event(window.end_ms - 2, arrival=following(window, 1).end_ms)
    log.add_day(following(window, 1))

    landed = land(following(window, 1), kafka)

    assert store.manifest(landed).measurements["late_by_day"]["2026-03-10"] == 1


def test_late_events_do_not_change_the_digest_of_the_night_that_counts_them(
    tmp_path: Path, window: Window, kafka: KafkaConnection, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.add_day(window)
    log.add_event(window.start_ms - 1)
    log.flush()
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path / "first night"))
    first_night = land(window, kafka)
    monkeypatch.setenv("RETRAIN_HOME", str(tmp_path / "after another"))
    with pytest.raises(NoRecords):
        land(Window(window.start - timedelta(2), window.end - timedelta(2)), kafka)

    assert land(window, kafka) == first_night


def test_repeats_within_the_window_are_dropped_and_counted(
    store: Store, window: Window, kafka: KafkaConnection, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_CLICKS__LANDING__DEDUPLICATE", "event_id")
    log.add_day(window, records=30)
    log.add_day(window, records=3)
    for repeated in ("e0", "e4", "e32"):
        log.add_event(window.start_ms, event_id=repeated)
    log.add_event(window.end_ms, event_id="e1")
    log.flush()

    artifact = land(window, kafka)

    facts = store.manifest(artifact).known
    assert (facts["scanned"], facts["accepted"], facts["duplicates"], facts["outside"]) == (37, 33, 3, 1)
    assert sorted(table_of(store, artifact)["event_id"].to_pylist()) == sorted(f"e{n}" for n in range(33))


def made_anew(broker: Broker, topic: str, settings: dict[str, str]) -> None:
    """Delete a topic and create it with other settings."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.delete_topics([topic])[topic].result(30)
    admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=settings)])[topic].result(30)


def failing_settings(bootstrap: str) -> Mapping[str, tuple[dict[str, str], type[RetrainingError], str]]:
    login = {"security.protocol": "SASL_PLAINTEXT", "sasl.username": "somebody", "sasl.password": "hunter2"}
    return {
        "nobody listens": ({"bootstrap.servers": f"127.0.0.1:{free_port()}"}, Unavailable, "Try again"),
        "login refused": (
            {"bootstrap.servers": bootstrap, "sasl.mechanism": "PLAIN", **login},
            Misconfigured,
            "refused the connection",
        ),
        "unknown setting": ({"bootstrap.servers": bootstrap, "nonsense": "1"}, Misconfigured, "nonsense"),
        "no brokers": ({}, Misconfigured, "bootstrap.servers"),
    }


@pytest.mark.parametrize("case", ["nobody listens", "login refused", "unknown setting", "no brokers"])
def test_a_connection_that_cannot_work_says_what_to_do(
    store: Store, window: Window, broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr(topic_module, "ATTEMPT_SECONDS", 1.0)
    if case == "nobody listens":
        monkeypatch.setattr(topic_module, "REQUEST_SECONDS", 1.0)
    settings, failure, words = failing_settings(broker.bootstrap)[case]

    with pytest.raises(failure, match=words) as raised:
        land(window, KafkaConnection(config=settings))
    assert "hunter2" not in str(raised.value)


def test_a_missing_topic_is_named_and_not_created(
    store: Store, window: Window, kafka: KafkaConnection, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRAIN_CLICKS__LANDING__TOPIC", "misspelt")

    for _ in range(2):
        with pytest.raises(Misconfigured, match="no topic 'misspelt'"):
            land(window, kafka)


def test_an_empty_topic_is_no_records(
    store: Store, window: Window, kafka: KafkaConnection, topic: str
) -> None:
    with pytest.raises(NoRecords, match="no example") as raised:
        land(window, kafka)

    assert raised.value.evidence is not None
    assert table_of(store, raised.value.evidence).num_rows == 0


def test_events_of_other_days_only_are_no_records(
    store: Store, window: Window, kafka: KafkaConnection, log: Log
) -> None:
    log.add_event(window.end_ms)
    log.flush()

    with pytest.raises(NoRecords, match="event_time runs from 2026-03-11"):
        land(window, kafka)


def test_too_many_rejects_stop_the_run_and_stay_as_evidence(
    store: Store, window: Window, kafka: KafkaConnection, log: Log
) -> None:
    log.add_day(window, records=9)
    log.add(b"oops", window.start_ms)
    log.flush()

    with pytest.raises(
        TooManyRejects, match=r"1 of 10 .*\n.*1 not JSON, first at partition 0, offset 3"
    ) as raised:
        land(window, kafka)
    assert raised.value.evidence is not None
    assert pq.read_table(store.open(raised.value.evidence) / "rejects.parquet").num_rows == 1


def test_a_broker_that_dies_while_it_is_read_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_module, "SILENCE_SECONDS", 1.0)
    with running_broker(tmp_path) as broker:
        create_topic(broker.bootstrap, "clicks", PARTITIONS)
        with Topic(KafkaConnection(config={"bootstrap.servers": broker.bootstrap}), "clicks") as topic:
            topic.partitions()
            broker.process.kill()

            with pytest.raises(Unavailable, match="sent nothing of the topic 'clicks'"):
                list(topic.read(0, 0))


def test_a_topic_that_ends_before_the_manifest_is_an_error(
    kafka: KafkaConnection, topic: str, log: Log, window: Window
) -> None:
    log.add_day(window, records=30)

    with (
        Topic(kafka, topic) as reader,
        pytest.raises(WindowExpired, match="ends at offset 10; expected it to reach 11"),
    ):
        list(reader.read(0, 0, 11))


def test_reading_stops_at_the_bound_and_begins_at_the_start(
    kafka: KafkaConnection, topic: str, log: Log, window: Window
) -> None:
    log.add_day(window, records=30)

    with Topic(kafka, topic) as reader:
        blocks = [block for partition in range(PARTITIONS) for block in reader.read(partition, 3, 7)]

    read = [
        (block.partition, offset, json.loads(value or b"")["event_id"])
        for block in blocks
        for offset, value in zip(block.offsets.tolist(), block.values, strict=True)
    ]
    assert read == [
        (partition, offset, f"e{PARTITIONS * offset + partition}")
        for partition in range(PARTITIONS)
        for offset in range(3, 7)
    ]
