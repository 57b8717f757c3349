"""Whether a transaction that is still open hides records of a window."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ml.artifact import Window
from ml.config import Pipeline
from ml.connections import KafkaConnection
from ml.errors import Unavailable
from ml.landing.block import Block
from ml.landing.parsing import Parser
from ml.landing.ranges import settled_ms
from ml.landing.topic import Topic

Matters = Callable[[Block], bool]


def what_matters(pipeline: Pipeline, window: Window, *, late: bool) -> Matters:
    """Which hidden records a landing must wait for: what was produced before the window had settled.

    Args:
        pipeline: the settings.
        window: what is landed.
        late: whether its late events are wanted too. When they were produced says nothing of these, so the
            hidden records are parsed: a topic on which some transaction is always open could never be
            landed if every hidden record mattered.
    """
    settled, event_time = settled_ms(pipeline.landing, window), pipeline.landing.event_time

    def is_unsettled(block: Block) -> bool:
        return bool(block.timestamps.min() < settled)

    if not late:
        return is_unsettled
    parser = Parser(pipeline.read_schema().columns, event_time)

    def is_of_window(block: Block) -> bool:
        times = parser.parse(block.values).table[event_time].to_numpy()
        return bool(np.any((window.start_ms <= times) & (times < window.end_ms)))

    return lambda block: is_unsettled(block) or is_of_window(block)


def check_transactions(connection: KafkaConnection, name: str, matters: Matters) -> None:
    """Check that all records that matter can be read.

    Brokers show nothing that lies behind the first record of an open transaction, whoever wrote it, and state
    that place as the partition's end. A day that was fixed there would be a smaller day, and stay one.

    Args:
        connection: how to reach the brokers.
        name: the topic.
        matters: whether any record of a block does; others may be hidden.

    Raises:
        Unavailable: if one that matters is hidden, naming where. The transaction ends by itself.
    """
    with Topic(connection, name, uncommitted=True) as written, Topic(connection, name) as readable:
        # What is written comes first: whatever is committed between the two questions is in both answers.
        ends = {partition: written.watermarks(partition)[1] for partition in written.partitions()}
        for partition, end in ends.items():
            _, stable_end = readable.watermarks(partition)
            if stable_end < end and _hides_some(written, partition, (stable_end, end), matters):
                raise _hidden(name, partition, stable_end, end)


def _hides_some(written: Topic, partition: int, hidden: tuple[int, int], matters: Matters) -> bool:
    start, end = hidden
    return any(matters(block) for block in written.read(partition, start, end))


def _hidden(name: str, partition: int, start: int, end: int) -> Unavailable:
    return Unavailable(
        f"A transaction is open in partition {partition} of the topic {name!r} since offset {start}, and "
        f"hides records of the window up to offset {end}, those of other producers too; expected every "
        "transaction of the window to be committed or aborted by now. Try again: the brokers end it when "
        "its producer's transaction.timeout.ms is over. If it stays, its producer hangs: "
        "kafka-transactions.sh find-hanging names it, and abort ends it."
    )
