"""A cluster's topics, as an administrator makes, moves and cuts them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import ElectionType, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    PartitionMetadata,
)

from tests.demo.kafka.jvm import run_tool

REQUEST_SECONDS = 30


class Topics:
    """The topics of a cluster. Each method returns when what it asked for has happened.

    Args:
        admin: a client of the cluster.
        bootstrap: the cluster's address, for Kafka's own tools.
        wait_until: waits until a question is answered by something true; fails if the cluster dies.
    """

    def __init__(
        self, admin: AdminClient, bootstrap: str, wait_until: Callable[[Callable[[], Any], str], None]
    ) -> None:
        self._admin = admin
        self._bootstrap = bootstrap
        self._wait_until = wait_until

    def create(
        self,
        name: str,
        partitions: int = 1,
        config: Mapping[str, str] | None = None,
        replicas: Sequence[Sequence[int]] | None = None,
    ) -> None:
        """Create a topic.

        Args:
            name: its name.
            partitions: how many.
            config: for example ``message.timestamp.type`` or ``cleanup.policy``.
            replicas: for each partition the nodes that hold it, the preferred leader first; by default
                the cluster chooses, as many as three.
        """
        shape: dict[str, Any] = {"num_partitions": len(replicas) if replicas else partitions}
        if replicas:
            shape["replica_assignment"] = [list(nodes) for nodes in replicas]
        topic = NewTopic(name, config=dict(config or {}), **shape)
        self._admin.create_topics([topic])[name].result(REQUEST_SECONDS)
        self._wait_until(lambda: self._is_led(name, shape["num_partitions"]), f"leading {name}")

    def add_partitions(self, name: str, total: int) -> None:
        """Raise the number of partitions."""
        self._admin.create_partitions([NewPartitions(name, total)])[name].result(REQUEST_SECONDS)
        self._wait_until(lambda: self._is_led(name, total), f"leading {total} partitions of {name}")

    def configure(self, name: str, config: Mapping[str, str]) -> None:
        """Set some of a topic's settings, for example ``retention.ms``."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in config.items()
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
        self._admin.incremental_alter_configs([resource])[resource].result(REQUEST_SECONDS)

    def delete_records(self, name: str, partition: int, before: int) -> None:
        """Delete all records before an offset, as retention would; -1 deletes all."""
        place = TopicPartition(name, partition, before)
        self._ask_leader(lambda: self._admin.delete_records([place])[place], place)

    def lowest_offset(self, name: str, partition: int) -> int:
        """The lowest offset that a partition still has, or its end if nothing is left."""
        return self._offset_of(TopicPartition(name, partition), OffsetSpec.earliest())

    def wait_until_deleted(self, name: str, partition: int, before: int) -> None:
        """Wait until retention has moved a partition's lowest offset to ``before`` or more."""
        self._wait_until(
            lambda: self._begins_at(TopicPartition(name, partition), before, OffsetSpec.earliest()),
            f"rid of {name} before offset {before}",
        )

    def wait_until_compacted(self, name: str, partition: int, before: int) -> None:
        """Wait until compaction has taken each record before an offset; the lowest offset stays as it is."""
        self._wait_until(
            lambda: self._begins_at(TopicPartition(name, partition), before, OffsetSpec.for_timestamp(0)),
            f"rid of the records of {name} before offset {before}",
        )

    def partitions(self, name: str) -> dict[int, PartitionMetadata]:
        """Partition → its ``leader``, ``replicas`` and ``isrs``, as node numbers; empty without a topic."""
        return dict(self._admin.list_topics(name, REQUEST_SECONDS).topics[name].partitions)

    def leaders(self, name: str) -> dict[int, int]:
        """Partition → the node that leads it, -1 if none does."""
        return {number: found.leader for number, found in self.partitions(name).items()}

    def wait_until_in_sync(self, name: str) -> None:
        """Wait until each replica of a topic has everything."""
        self._wait_until(
            lambda: all(
                len(found.isrs) == len(found.replicas) and found.leader >= 0
                for found in self.partitions(name).values()
            ),
            f"in sync on {name}",
        )

    def move_leader(self, name: str, partition: int, to: int) -> None:
        """Have another node lead a partition, while all live and whoever reads it reads on.

        Args:
            name: the topic.
            partition: its partition.
            to: the node's number; it comes to hold the partition if it does not yet.
        """
        others = [node for node in self.partitions(name)[partition].replicas if node != to]
        kept = max(1, len(others) if to not in self.partitions(name)[partition].replicas else len(others) + 1)
        self._reassign(name, partition, [to, *others][:kept])
        self._elect_preferred(name, partition)
        self._wait_until(lambda: self.leaders(name)[partition] == to, f"led by node {to} on {name}")

    def _reassign(self, name: str, partition: int, replicas: list[int]) -> None:
        wanted = {"topic": name, "partition": partition, "replicas": replicas}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"version": 1, "partitions": [wanted]}, file)
            file.flush()
            run_tool(
                "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
                *("--bootstrap-server", self._bootstrap, "--reassignment-json-file", file.name, "--execute"),
            )
        self._wait_until(
            lambda: self.partitions(name)[partition].replicas == replicas, f"holding {name} as told"
        )
        self.wait_until_in_sync(name)

    def _elect_preferred(self, name: str, partition: int) -> None:
        place = TopicPartition(name, partition)
        answer = self._admin.elect_leaders(ElectionType.PREFERRED, [place]).result(REQUEST_SECONDS)
        error = answer[place]
        if error is not None and error.args[0].code() != KafkaError.ELECTION_NOT_NEEDED:
            raise error

    def _begins_at(self, place: TopicPartition, before: int, first: OffsetSpec) -> bool:
        return self._offset_of(place, first) >= before

    def _offset_of(self, place: TopicPartition, first: OffsetSpec) -> int:
        return int(self._ask_leader(lambda: self._admin.list_offsets({place: first})[place], place).offset)

    def _ask_leader(self, ask: Callable[[], Future[Any]], place: TopicPartition) -> Any:
        """The answer, once the client finds the leader; a node that has just come back knows it late."""
        answers: list[Any] = []

        def is_answered() -> bool:
            try:
                answers.append(ask().result(REQUEST_SECONDS))
            except KafkaException as error:
                if error.args[0].code() != KafkaError._NOENT:
                    raise
            return bool(answers)

        self._wait_until(is_answered, f"leading {place.topic}")
        return answers[0]

    def _is_led(self, name: str, partitions: int) -> bool:
        found = self.leaders(name)
        return len(found) == partitions and min(found.values()) >= 0
