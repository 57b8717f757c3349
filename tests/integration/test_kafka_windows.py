"""Windows of real topics: landing, by time and by scan, against an oracle that shares no code with it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from confluent_kafka.admin import AclOperation
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.artifact import Window
from ml.errors import Misconfigured, Unavailable
from tests.demo.kafka import Kafka, running_kafka
from tests.integration.landed import SEEKS, answer_of, check_against, check_both_ways, land_by, plain
from tests.integration.oracle import read_topic
from tests.integration.topic_kinds import (
    DAY,
    HOUR,
    KINDS,
    SETTLE,
    SLACK,
    Filled,
    Writer,
    create_time,
)

pytestmark = pytest.mark.integration

TOPICS = (f"made-up-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def kafka(kafka_can_run: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with running_kafka(tmp_path_factory.mktemp("kafka") / "cluster", secure=True) as kafka:
        yield kafka


@pytest.mark.parametrize("kind", KINDS)
def test_landing_agrees_with_the_oracle_on(kind: str, kafka: Kafka, tmp_path: Path) -> None:
    topic = kind.replace("_", "-")
    filled: Filled = KINDS[kind](kafka, topic)

    answer = check_both_ways(tmp_path, kafka, topic, filled.window)

    assert answer.accepted or answer.late
    assert not filled.hidden & {str(name) for name in answer.ids("event_id")}


def test_by_time_nothing_is_counted_of_what_lies_before_and_behind_the_offsets_that_are_read(
    kafka: Kafka, tmp_path: Path
) -> None:
    topic = "far-and-near"
    kafka.topics.create(topic)
    writer = Writer(kafka, topic)
    for far_or_near in (1, 0):  # one millisecond before the slack, and at its beginning
        writer.event(DAY.start_ms - 1, produced=DAY.start_ms - SLACK - far_or_near)
    writer.day(50)
    for settled in (DAY.end_ms + SETTLE, DAY.end_ms + SETTLE + SLACK):
        writer.event(DAY.end_ms - 1, produced=settled)
        writer.event(DAY.end_ms, produced=settled)
    writer.flush()

    answer = check_both_ways(tmp_path, kafka, topic, DAY)

    assert (len(answer.accepted), len(answer.late), len(answer.outside)) == (50, 2, 4)
    landed = (land_by(seek, tmp_path / seek, topic, DAY, plain(kafka)).measurements for seek in SEEKS)
    by_time, by_scan = ((counts["scanned"], counts["late"], counts["outside"]) for counts in landed)
    assert (by_time, by_scan) == ((53, 1, 2), (56, 2, 4))


SPAN = (-5 * HOUR, 31 * HOUR)
BOUNDS = (-SLACK, 0, 24 * HOUR, 24 * HOUR + SETTLE, 24 * HOUR + SETTLE + SLACK)
# In milliseconds after the day's start. Many are equal, or right beside where something begins or ends.
MOMENTS = st.one_of(
    st.sampled_from([bound + beside for bound in BOUNDS for beside in (-1, 0, 1)]), st.integers(*SPAN)
)


@settings(max_examples=10)
@given(st.lists(st.tuples(st.integers(0, 2), MOMENTS, MOMENTS), min_size=1, max_size=40))
def test_landing_agrees_with_the_oracle_whatever_the_times(
    kafka: Kafka, tmp_path_factory: pytest.TempPathFactory, records: list[tuple[int, int, int]]
) -> None:
    topic = next(TOPICS)
    kafka.topics.create(topic, 3)
    writer = Writer(kafka, topic)
    for partition, happened, produced in records:
        writer.event(DAY.start_ms + happened, DAY.start_ms + produced, partition)
        writer.value(b"oops", DAY.start_ms + produced, partition)
    writer.flush()

    check_both_ways(tmp_path_factory.mktemp("stores"), kafka, topic, DAY)


@settings(max_examples=6)
@given(st.sampled_from([*BOUNDS, 12 * HOUR]), st.integers(-1, 1), st.lists(MOMENTS, max_size=20))
def test_landing_agrees_with_the_oracle_whatever_the_time_at_the_broker(
    kafka: Kafka, tmp_path_factory: pytest.TempPathFactory, bound: int, beside: int, moments: list[int]
) -> None:
    topic = next(TOPICS)
    kafka.topics.create(topic, config={"message.timestamp.type": "LogAppendTime"})
    writer = Writer(kafka, topic)
    writer.value(b"oops", DAY.start_ms)
    writer.flush()
    [first] = read_topic(plain(kafka), topic)
    window = day_from(first.timestamp - bound + beside)
    for happened in moments:
        writer.event(window.start_ms + happened, DAY.start_ms)
    writer.flush()

    check_both_ways(tmp_path_factory.mktemp("stores"), kafka, topic, window)


def day_from(start_ms: int) -> Window:
    start = datetime.fromtimestamp(0, timezone.utc) + timedelta(milliseconds=start_ms)
    return Window(start, start + timedelta(days=1))


def writing_in_transaction(kafka: Kafka, topic: str, happened: int) -> Writer:
    """A writer whose transaction is open, with one event in it."""
    writer = Writer(kafka, topic, transactional_id=topic)
    writer.producer.init_transactions(60)
    writer.producer.begin_transaction()
    writer.event(happened)
    writer.flush()
    return writer


def test_an_open_transaction_is_waited_for_and_not_taken_for_the_end(kafka: Kafka, tmp_path: Path) -> None:
    topic = "open-transaction"
    kafka.topics.create(topic)
    writer = Writer(kafka, topic)
    writer.day(50)
    hanging = writing_in_transaction(kafka, topic, DAY.start_ms)
    writer.day(50)
    for seek in SEEKS:
        with pytest.raises(Unavailable, match=r"open in partition 0 .* since offset 50(.|\n)*to offset 101"):
            land_by(seek, tmp_path / seek, topic, DAY, plain(kafka))

    hanging.producer.abort_transaction(60)

    assert len(check_both_ways(tmp_path, kafka, topic, DAY).accepted) == 100


def test_a_transaction_that_began_after_the_day_had_settled_matters_once_it_writes_of_the_day(
    kafka: Kafka, tmp_path: Path
) -> None:
    topic = "later-transaction"
    kafka.topics.create(topic)
    Writer(kafka, topic).day(50)
    later = writing_in_transaction(kafka, topic, DAY.end_ms + SETTLE)

    assert len(check_both_ways(tmp_path / "before", kafka, topic, DAY).accepted) == 50

    for number in range(20_000):
        later.value(b"{}", DAY.end_ms + SETTLE + number)
    later.event(DAY.start_ms)
    later.flush()
    with pytest.raises(Unavailable, match="open in partition 0"):
        land_by("time", tmp_path / "after", topic, DAY, plain(kafka))
    later.producer.abort_transaction(60)


def test_late_events_that_a_transaction_hides_are_waited_for_where_they_are_wanted(
    kafka: Kafka, tmp_path: Path
) -> None:
    topic = "late-in-transaction"
    kafka.topics.create(topic)
    Writer(kafka, topic).day(50)
    open_always = writing_in_transaction(kafka, topic, DAY.end_ms + SETTLE)
    land_by("time", tmp_path, topic, DAY, plain(kafka))
    land_by("time", tmp_path, topic, DAY, plain(kafka), refresh="nothing of the day is hidden")

    open_always.event(DAY.start_ms, produced=DAY.end_ms + SETTLE)
    open_always.flush()
    with pytest.raises(Unavailable, match="open in partition 0"):
        land_by("time", tmp_path, topic, DAY, plain(kafka), refresh="the backlog")
    open_always.producer.commit_transaction(60)
    refreshed = land_by("time", tmp_path, topic, DAY, plain(kafka), refresh="the backlog")
    assert refreshed.facts["accepted"] == 51


@pytest.fixture(scope="module")
def guarded(kafka: Kafka) -> str:
    """A topic with a day in it, which only some users may read."""
    create_time(kafka, "guarded")
    for user in ("reader", "describer", "stranger", "denied"):
        kafka.add_user(user, f"secret of {user}")
    kafka.allow("reader", "guarded", AclOperation.READ, AclOperation.DESCRIBE)
    kafka.allow("describer", "guarded", AclOperation.DESCRIBE)
    kafka.allow("denied", "guarded", AclOperation.READ, AclOperation.DESCRIBE)
    kafka.deny("denied", "guarded", AclOperation.READ)
    return "guarded"


@pytest.mark.parametrize("seek", SEEKS)
def test_a_user_with_the_right_to_read_lands_the_same_over_tls(
    kafka: Kafka, guarded: str, tmp_path: Path, seek: str
) -> None:
    known = kafka.secure_settings("reader", "secret of reader")

    landing = land_by(seek, tmp_path, guarded, DAY, known)

    check_against(answer_of(kafka, guarded, DAY), landing)


def test_a_wrong_password_is_misconfigured_and_not_shown(kafka: Kafka, guarded: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"refused the connection(.|\n)*Check user, password") as raised:
        land_by("time", tmp_path, guarded, DAY, kafka.secure_settings("reader", "hunter2"))

    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("user", ["describer", "stranger", "denied"])
@pytest.mark.parametrize("seek", SEEKS)
def test_a_user_without_the_right_to_read_is_misconfigured(
    kafka: Kafka, guarded: str, tmp_path: Path, user: str, seek: str
) -> None:
    with pytest.raises(Misconfigured, match=r"may not read the topic 'guarded'(.|\n)*READ and DESCRIBE"):
        land_by(seek, tmp_path, guarded, DAY, kafka.secure_settings(user, f"secret of {user}"))


def test_a_certificate_that_nobody_vouches_for_is_misconfigured(
    kafka: Kafka, guarded: str, tmp_path: Path
) -> None:
    untrusting = kafka.secure_settings("reader", "secret of reader")
    del untrusting["ssl.ca.location"]

    with pytest.raises(Misconfigured, match=r"refused the connection(.|\n)*certificate"):
        land_by("time", tmp_path, guarded, DAY, untrusting)
