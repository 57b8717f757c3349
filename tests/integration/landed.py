"""A landed window, held against what the oracle says of its topic."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ml import steps
from ml.artifact import Artifact, Window
from ml.connections import KafkaConnection
from ml.store import Store
from tests.demo.kafka import Kafka
from tests.integration.oracle import Answer, Rules, judge, read_topic
from tests.integration.topic_kinds import COLUMNS, SETTLE, SLACK


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

    def examples(self) -> list[dict[str, Any]]:
        parts = sorted(self.store.open(self.artifact).glob("part-*.parquet"))
        return list(pa.concat_tables(pq.read_table(part) for part in parts).to_pylist())

    def rejects(self) -> dict[tuple[int, int], bytes | None]:
        rows = pq.read_table(self.store.open(self.artifact) / "rejects.parquet").to_pylist()
        return {(row["partition"], row["offset"]): row["value"] for row in rows}


def land(window: Window, kafka: KafkaConnection, **decided: str) -> Artifact:
    """The clicks of a window, landed as the step does it."""
    return steps.land_examples("clicks", **window.as_json(), **decided, kafka=kafka)


def plain(kafka: Kafka) -> dict[str, str]:
    return {"bootstrap.servers": kafka.bootstrap}


def answer_of(kafka: Kafka, topic: str, window: Window) -> Answer:
    rules = Rules(COLUMNS, "event_time", window.start_ms, window.end_ms, SETTLE, SLACK)
    return judge(read_topic(plain(kafka), topic), rules)


def check_against(answer: Answer, landing: Landing) -> None:
    """The same examples with the same values, the same rejects, and the same counts."""
    examples = {(row.pop("_partition"), row.pop("_offset")): row for row in landing.examples()}
    assert examples == {
        place: {name: example.get(name) for name in COLUMNS} for place, example in answer.accepted.items()
    }
    assert Counter(row["event_id"] for row in examples.values()) == answer.ids("event_id")
    assert landing.rejects() == answer.rejected
    assert landing.facts["accepted"] == len(answer.accepted)
    assert sum(landing.facts["rejected"].values()) == len(answer.rejected)
