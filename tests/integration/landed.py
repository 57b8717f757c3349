"""A landed window, held against what the oracle says of its topic."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml import steps
from ml.artifact import Artifact, Window
from ml.connections import KafkaConnection
from ml.errors import DataRejected
from ml.store import Store
from tests.demo.kafka import Kafka
from tests.integration.oracle import Answer, Place, Rules, judge, read_topic
from tests.integration.topic_kinds import COLUMNS, SETTLE, SLACK

SEEKS = ("time", "scan")


@dataclass(frozen=True)
class Landing:
    """A landed window.

    Attributes:
        artifact: the examples.
        store: where they are.
    """

    artifact: Artifact
    store: Store

    @property
    def facts(self) -> dict[str, Any]:
        return self.store.manifest(self.artifact).facts

    @property
    def measurements(self) -> dict[str, Any]:
        return self.store.manifest(self.artifact).measurements

    def examples(self) -> list[dict[str, Any]]:
        parts = sorted(self.store.open(self.artifact).glob("part-*.parquet"))
        return list(pa.concat_tables(pq.read_table(part) for part in parts).to_pylist())

    def rejects(self) -> dict[tuple[int, int], bytes | None]:
        rows = pq.read_table(self.store.open(self.artifact) / "rejects.parquet").to_pylist()
        return {(row["partition"], row["offset"]): row["value"] for row in rows}

    def met(self, places: Iterable[Place]) -> int:
        """How many of these places lie in the ranges of offsets that were read."""
        offsets = json.loads((self.store.open(self.artifact) / "measured" / "offsets.json").read_bytes())
        ranges = {each["partition"]: range(each["start"], each["end"]) for each in offsets["partitions"]}
        return sum(offset in ranges[partition] for partition, offset in places)


def land(window: Window, kafka: KafkaConnection, **decided: str) -> Artifact:
    """The clicks of a window, landed as the step does it."""
    return steps.land_examples("clicks", **window.as_json(), **decided, kafka=kafka)


def land_by(
    seek: str, home: Path, topic: str, window: Window, settings: Mapping[str, str], **decided: str
) -> Landing:
    """Land a window in one of the ways into a store of its own, whatever the counts say.

    Args:
        seek: ``time`` or ``scan``.
        home: RETRAIN_HOME.
        topic: whose records are landed.
        window: the day.
        settings: how to reach the brokers.
        decided: what a person has decided about the day.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRAIN_HOME", str(home))
        patch.setenv("RETRAIN_CLICKS__LANDING__TOPIC", topic)
        patch.setenv("RETRAIN_CLICKS__LANDING__SEEK", seek)
        patch.setenv("RETRAIN_CLICKS__LANDING__MAX_REJECT_FRACTION", "1.0")
        store = Store.from_environment()
        try:
            artifact = land(window, KafkaConnection(config=dict(settings)), **decided)
        except DataRejected as rejected:
            if rejected.evidence is None:
                raise
            artifact = rejected.evidence
    return Landing(artifact, store)


def plain(kafka: Kafka) -> dict[str, str]:
    return {"bootstrap.servers": kafka.bootstrap}


def answer_of(kafka: Kafka, topic: str, window: Window) -> Answer:
    rules = Rules(COLUMNS, "event_time", window.start_ms, window.end_ms, SETTLE, SLACK)
    return judge(read_topic(plain(kafka), topic), rules)


def check_both_ways(home: Path, kafka: Kafka, topic: str, window: Window, **decided: str) -> Answer:
    """Land by time and by scan; each agrees with the oracle, and both are the same artifact."""
    answer = answer_of(kafka, topic, window)
    landings = {seek: land_by(seek, home / seek, topic, window, plain(kafka), **decided) for seek in SEEKS}
    for landing in landings.values():
        check_against(answer, landing)
    assert landings["time"].artifact == landings["scan"].artifact
    scanned = landings["scan"].measurements
    assert (scanned["late"], scanned["outside"]) == (len(answer.late), len(answer.outside))
    return answer


def check_against(answer: Answer, landing: Landing) -> None:
    """The same examples with the same values, the same rejects, and the same counts.

    What was late or outside is counted where it lies in the offsets that were read: by scan, all of them.
    """
    examples = {(row.pop("_partition"), row.pop("_offset")): row for row in landing.examples()}
    assert examples == {
        place: {name: example.get(name) for name in COLUMNS} for place, example in answer.accepted.items()
    }
    assert Counter(row["event_id"] for row in examples.values()) == answer.ids("event_id")
    assert landing.rejects() == answer.rejected
    assert landing.facts["accepted"] == len(answer.accepted)
    assert sum(landing.facts["rejected"].values()) == len(answer.rejected)
    counted = landing.measurements["late"], landing.measurements["outside"]
    assert counted == (landing.met(answer.late), landing.met(answer.outside))
