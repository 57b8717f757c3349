"""Whether a transaction that is still open hides records of a window."""

from __future__ import annotations

from ml.connections import KafkaConnection
from ml.errors import Unavailable
from ml.landing.topic import Topic


def check_transactions(connection: KafkaConnection, name: str, settled: int) -> None:
    """Check that all records produced before a moment can be read.

    Brokers show nothing that lies behind the first record of an open transaction, whoever wrote it, and state
    that place as the partition's end. A day that was fixed there would be a smaller day, and stay one.

    Args:
        connection: how to reach the brokers.
        name: the topic.
        settled: the moment in milliseconds since the epoch; what was produced later may be hidden.

    Raises:
        Unavailable: if some are hidden, naming where. The transaction ends by itself.
    """
    with Topic(connection, name, uncommitted=True) as written, Topic(connection, name) as readable:
        # What is written comes first: whatever is committed between the two questions is in both answers.
        ends = {partition: written.watermarks(partition)[1] for partition in written.partitions()}
        for partition, end in ends.items():
            _, stable_end = readable.watermarks(partition)
            if stable_end < end and _holds_older(written, partition, (stable_end, end), settled):
                raise _hidden(name, partition, stable_end, end)


def _holds_older(written: Topic, partition: int, hidden: tuple[int, int], settled: int) -> bool:
    start, end = hidden
    blocks = written.read(partition, start, end)
    return any(block.timestamps.min() < settled for block in blocks)


def _hidden(name: str, partition: int, start: int, end: int) -> Unavailable:
    return Unavailable(
        f"A transaction is open in partition {partition} of the topic {name!r} since offset {start}, and "
        f"hides records of the window up to offset {end}, those of other producers too; expected every "
        "transaction of the window to be committed or aborted by now. Try again: the brokers end it when "
        "its producer's transaction.timeout.ms is over. If it stays, its producer hangs: "
        "kafka-transactions.sh find-hanging names it, and abort ends it."
    )
