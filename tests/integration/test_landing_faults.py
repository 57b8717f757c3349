"""What breaks while a day is read from Apache Kafka: tried again as Airflow does, it is the same day."""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ml.artifact import Artifact
from ml.errors import Unavailable
from ml.landing import topic as topic_module
from ml.landing.progress import Progress
from ml.store import Store
from ml.walk import Walk
from tests.demo.kafka import Kafka, running_kafka
from tests.demo.proxy import Proxy
from tests.integration.landed import Landing, answer_of, check_against
from tests.integration.midway import Moment, held_at, kill_at
from tests.integration.small_disk import small_disk
from tests.integration.topic_kinds import DAY, Writer

pytestmark = pytest.mark.integration

log = logging.getLogger(__name__)

RECORDS = 20_000
# The topic that only the first broker has, and the one that all three have.
ALONE, SHARED = "held-by-one", "held-by-three"
REPLICAS = {ALONE: [1], SHARED: [1, 2, 3]}
# Little is fetched ahead, in small pieces: whatever breaks, most of the day has not been read.
PIECES = {"queued.max.messages.kbytes": 256, "fetch.message.max.bytes": 64 * 1024}
PIECE_RECORDS = 500
PIECES_BEFORE_THE_FAULT = 5
SHORT_SILENCE = 3.0
START_SECONDS = 180.0  # a busy machine may need longer to start a broker than landing waits for one
MIDDLE = Moment("land_examples", "ml.landing.progress.Progress.advance", call=2)


@pytest.fixture(scope="module")
def kafka(kafka_can_run: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with running_kafka(tmp_path_factory.mktemp("kafka") / "cluster", brokers=3) as kafka:
        for topic, nodes in REPLICAS.items():
            kafka.topics.create(topic, config={"min.insync.replicas": "1"}, replicas=[nodes])
            fill(kafka, topic)
        yield kafka


def fill(kafka: Kafka, topic: str) -> None:
    """A day of events that no compression makes small, in small batches, with a few that are no examples."""
    chance = random.Random(topic)  # noqa: S311 - no secret
    writer = Writer(kafka, topic, acks="all", enable_idempotence="true", batch_num_messages=100)
    step = (DAY.end_ms - DAY.start_ms) // RECORDS
    for number in range(RECORDS):
        writer.event(DAY.start_ms + number * step, session_id=f"{chance.getrandbits(128):x}")
    writer.edges()


@pytest.fixture(scope="module")
def undisturbed(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Artifact]:
    """What comes of each topic if nothing breaks, held against the oracle."""
    landed = {}
    for topic in REPLICAS:
        with pytest.MonkeyPatch.context() as patch:
            read_from(patch, tmp_path_factory.mktemp(topic), topic, kafka.bootstrap)
            landed[topic] = land()
            check_against(answer_of(kafka, topic, DAY), Landing(landed[topic], Store.from_environment()))
    return landed


def read_from(patch: pytest.MonkeyPatch, home: Path, topic: str, servers: str) -> None:
    patch.setenv("RETRAIN_HOME", str(home))
    patch.setenv("RETRAIN_KAFKA", json.dumps({"config": {"bootstrap.servers": servers}}))
    patch.setenv("RETRAIN_CLICKS__LANDING__TOPIC", topic)


@dataclass
class Fault:
    """Something that breaks in the middle of a landing, and only once.

    Attributes:
        struck: when, by the monotonic clock.
    """

    patch: pytest.MonkeyPatch
    struck: float = 0.0

    def strikes_as(self, event: Callable[[], object]) -> None:
        """Let it happen when a part of the day has been written and most has not been read."""
        advance, pieces = Progress.advance, itertools.count(1)

        def advance_and_break(progress: Progress, records: int) -> None:
            advance(progress, records)
            if next(pieces) == PIECES_BEFORE_THE_FAULT:
                event()
                self.struck = time.monotonic()

        self.patch.setattr(Progress, "advance", advance_and_break)

    def let_landing_wait(self, seconds: float) -> None:
        """From now on, for brokers that have fallen silent."""
        self.patch.setattr(topic_module, "SILENCE_SECONDS", seconds)


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Fault:
    """Landing in small pieces, until something breaks."""
    monkeypatch.setattr(topic_module, "SETTINGS", {**topic_module.SETTINGS, **PIECES})
    monkeypatch.setattr(topic_module, "BATCH_RECORDS", PIECE_RECORDS)
    return Fault(monkeypatch)


def land() -> Artifact:
    return Walk("clicks", DAY).land_examples


def land_as_airflow_does(
    fault: Fault, mend: Callable[[], object] = lambda: None
) -> tuple[Artifact, list[Exception]]:
    """Land, and land again as long as the tasks' retry policy says so; returns the failures on the way.

    Args:
        fault: what breaks.
        mend: what happens between two tries.
    """
    failures: list[Exception] = []
    while True:
        try:
            landed = land()
        except Exception as failure:
            failures.append(failure)
            if not is_tried_again(failure, len(failures)):
                raise
            mend()
        else:
            assert fault.struck, "nothing has broken"
            log.info("landed %.1f s after the fault, failures: %s", time.monotonic() - fault.struck, failures)
            assert not list(Store.from_environment().root.rglob("*.partial"))
            return landed, failures


def is_tried_again(failure: Exception, tries: int) -> bool:
    """What Airflow would do with a task that fails so."""
    from airflow.sdk import RetryAction
    from retraining.policies import RETRIES, RETRY_WHERE_IT_HELPS

    decision = RETRY_WHERE_IT_HELPS.evaluate(failure, tries, RETRIES["retries"])
    return decision.action is RetryAction.RETRY and tries <= RETRIES["retries"]


@pytest.fixture(autouse=True, scope="module")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Airflow makes its home when it is first imported."""
    os.environ.setdefault("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))


def test_a_broker_that_is_killed_and_comes_back_is_waited_for(
    kafka: Kafka, undisturbed: Mapping[str, Artifact], fault: Fault, tmp_path: Path
) -> None:
    read_from(fault.patch, tmp_path, ALONE, kafka.nodes[1].bootstrap)
    fault.let_landing_wait(START_SECONDS)

    def kill_and_start() -> None:
        kafka.nodes[1].crash()
        kafka.nodes[1].start()

    fault.strikes_as(kill_and_start)

    landed, failures = land_as_airflow_does(fault)

    assert landed == undisturbed[ALONE]
    assert failures == []
    kafka.wait_until_whole()


def test_a_broker_that_stays_away_fails_the_try_and_not_the_day(
    kafka: Kafka, undisturbed: Mapping[str, Artifact], fault: Fault, tmp_path: Path
) -> None:
    read_from(fault.patch, tmp_path, ALONE, kafka.nodes[1].bootstrap)

    def crash() -> None:
        kafka.nodes[1].crash()
        fault.let_landing_wait(SHORT_SILENCE)

    def start() -> None:
        kafka.start(1)
        fault.let_landing_wait(START_SECONDS)

    fault.strikes_as(crash)

    landed, failures = land_as_airflow_does(fault, mend=start)

    assert landed == undisturbed[ALONE]
    assert [type(failure) for failure in failures] == [Unavailable]
    assert re.search(r"sent nothing of the topic 'held-by-one' for 3 s.*try again", str(failures[0]))


def test_a_leader_that_is_killed_is_followed_by_another_within_the_try(
    kafka: Kafka, undisturbed: Mapping[str, Artifact], fault: Fault, tmp_path: Path
) -> None:
    kafka.topics.wait_until_in_sync(SHARED)
    leader = kafka.topics.leaders(SHARED)[0]
    read_from(fault.patch, tmp_path, SHARED, kafka.bootstrap)
    fault.strikes_as(kafka.nodes[leader].crash)

    landed, failures = land_as_airflow_does(fault)

    assert landed == undisturbed[SHARED]
    assert failures == []
    assert kafka.topics.leaders(SHARED)[0] not in {leader, -1}
    kafka.start(leader)


def test_a_partition_that_moves_to_another_leader_is_read_on_there(
    kafka: Kafka, undisturbed: Mapping[str, Artifact], fault: Fault, tmp_path: Path
) -> None:
    kafka.topics.wait_until_in_sync(SHARED)
    leader = kafka.topics.leaders(SHARED)[0]
    follower = leader % 3 + 1
    read_from(fault.patch, tmp_path, SHARED, kafka.bootstrap)
    fault.strikes_as(lambda: kafka.topics.move_leader(SHARED, 0, to=follower))

    landed, failures = land_as_airflow_does(fault)

    assert landed == undisturbed[SHARED]
    assert failures == []


@dataclass(frozen=True)
class Network:
    """The ways to all brokers, that of the first in front."""

    ways: list[Proxy]

    def cut(self, refuse: float = math.inf) -> None:
        for way in self.ways:
            way.cut(refuse)

    def mend(self) -> None:
        for way in self.ways:
            way.mend()

    def fall_silent(self) -> None:
        for way in self.ways:
            way.fall_silent()


@pytest.fixture
def network(kafka: Kafka, fault: Fault, tmp_path: Path) -> Iterator[Network]:
    """The way to the brokers, for whoever lands now."""
    read_from(fault.patch, tmp_path, ALONE, kafka.proxied)
    with ExitStack() as stack:
        ports = (node.ports for node in kafka.nodes.values())
        yield Network([stack.enter_context(Proxy(each.proxy, each.proxied)) for each in ports])


def test_a_network_that_is_cut_for_seconds_is_waited_for(
    undisturbed: Mapping[str, Artifact], fault: Fault, network: Network
) -> None:
    fault.strikes_as(lambda: network.cut(refuse=5))

    landed, failures = land_as_airflow_does(fault)

    assert landed == undisturbed[ALONE]
    assert failures == []
    assert network.ways[0].refused == 5


def test_a_connection_that_dies_in_silence_is_made_anew_within_the_try(
    undisturbed: Mapping[str, Artifact], fault: Fault, network: Network
) -> None:
    known = topic_module.SETTINGS
    assert 2 * known["socket.timeout.ms"] < 1000 * topic_module.SILENCE_SECONDS
    fault.patch.setattr(topic_module, "SETTINGS", {**known, "socket.timeout.ms": 3_000})
    fault.strikes_as(network.fall_silent)

    landed, failures = land_as_airflow_does(fault)

    assert landed == undisturbed[ALONE]
    assert failures == []


def test_a_network_that_stays_cut_fails_the_try_and_not_the_day(
    undisturbed: Mapping[str, Artifact], fault: Fault, network: Network
) -> None:

    def cut() -> None:
        network.cut()
        fault.let_landing_wait(SHORT_SILENCE)

    def mend() -> None:
        network.mend()
        fault.let_landing_wait(START_SECONDS)

    fault.strikes_as(cut)

    landed, failures = land_as_airflow_does(fault, mend=mend)

    assert landed == undisturbed[ALONE]
    assert [type(failure) for failure in failures] == [Unavailable]
    assert re.search(r"sent nothing of the topic 'held-by-one' for 3 s.*try again", str(failures[0]))


def test_a_disk_that_is_full_holds_no_half_a_day_and_says_what_to_do(
    kafka: Kafka, undisturbed: Mapping[str, Artifact], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read_from(monkeypatch, tmp_path, ALONE, kafka.nodes[1].bootstrap)
    with small_disk(tmp_path) as make_room:
        with pytest.raises(OSError, match=r"no room for all of .*examples.*\. Make room there") as raised:
            land()
        assert is_tried_again(raised.value, 1)
        assert not list(Store.from_environment().root.rglob("*.parquet"))

        make_room()

        assert land() == undisturbed[ALONE]


def test_a_task_that_is_killed_leaves_a_day_that_nobody_reads_to_its_next_try(
    kafka: Kafka, undisturbed: Mapping[str, Artifact], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read_from(monkeypatch, tmp_path, ALONE, kafka.nodes[1].bootstrap)

    kill_at(MIDDLE, "clicks", date.fromisoformat("2026-03-10"))

    store = Store.from_environment()
    assert [path.parent.name for path in store.root.rglob("*.partial")] == ["examples"]
    assert store.manifests("clicks", "examples") == []
    assert land() == undisturbed[ALONE]
    assert not list(store.root.rglob("*.partial"))


class Listener(logging.Handler):
    """Does something when a line of the log contains certain words."""

    def __init__(self, words: str, answer: Callable[[], Any]) -> None:
        super().__init__()
        self._words, self._answer = words, answer

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage():
            self._answer()


def test_two_runs_that_land_a_day_at_once_write_it_once(
    kafka: Kafka,
    undisturbed: Mapping[str, Artifact],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    read_from(monkeypatch, tmp_path, ALONE, kafka.nodes[1].bootstrap)
    caplog.set_level(logging.INFO, "ml.store")
    with held_at(MIDDLE, "clicks", date.fromisoformat("2026-03-10")) as first:
        listener = Listener("another process is at work on clicks/examples", first.let_go)
        logging.getLogger("ml.store").addHandler(listener)

        second = land()

        logging.getLogger("ml.store").removeHandler(listener)
        assert second == first.came_of() == undisturbed[ALONE]
    assert f"{second['uri']} is there already and is used as it is" in caplog.text
    assert "examples made in" not in caplog.text
