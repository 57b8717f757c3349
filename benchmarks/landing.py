"""Landing against reading alone, and against a `json.loads` for every record, in one run.

    python -m benchmarks.landing [records ...]

Each measurement has a process of its own, so peak memory is its own too. Ratios are to reading alone: the
machine and its neighbours cancel out of them, if not wholly.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Consumer, TopicPartition

from ml import landing
from ml.artifact import Window
from ml.config import Pipeline
from ml.connections import KafkaConnection
from ml.decisions import Decision
from ml.landing.parsing import Parser
from ml.pipelines import load_pipeline
from ml.store import Draft
from tests.demo.broker import running_broker
from tests.demo.clicks import Day
from tests.demo.produce import create_topic, produce

DAY = date(2026, 3, 10)
PARTITIONS = 4
SIZES = (100_000, 1_000_000)
BATCH = 8_192
ROUNDS = 3


class Result(NamedTuple):
    """Of one run in a process of its own."""

    rate: float
    cpu_microseconds: float
    peak_mebibytes: float


def pipeline_of(topic: str) -> Pipeline:
    pipeline = load_pipeline("clicks")
    settings = pipeline.landing.model_copy(update={"seek": "scan", "topic": topic})
    return pipeline.model_copy(update={"landing": settings})


def values_of(bootstrap: str, topic: str) -> Iterator[list[bytes]]:
    settings = {"bootstrap.servers": bootstrap, "group.id": "benchmark", "enable.partition.eof": True}
    consumer = Consumer({**settings, "fetch.queue.backoff.ms": 5})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    open_partitions = PARTITIONS
    while open_partitions:
        messages = consumer.consume(BATCH, 0.05)
        values = [message.value() for message in messages if message.error() is None]
        open_partitions -= len(messages) - len(values)
        yield values
    consumer.close()


def read_alone(bootstrap: str, topic: str, _: Path) -> int:
    return sum(len(values) for values in values_of(bootstrap, topic))


def land(bootstrap: str, topic: str, path: Path) -> int:
    kafka = KafkaConnection(config={"bootstrap.servers": bootstrap})
    window = Window.of_day(DAY, "UTC")
    offsets, examples = Draft(path / "offsets", "offsets"), Draft(path / "examples", "examples")
    offsets.path.mkdir()
    examples.path.mkdir()
    landing.resolve_offsets(pipeline_of(topic), window, Decision(), kafka, offsets)
    landing.land_examples(pipeline_of(topic), window, landing.Source(offsets.path, None, kafka), examples)
    return int(examples.measurements["scanned"])


def loads_each(bootstrap: str, topic: str, path: Path) -> int:
    schema = Parser(pipeline_of(topic).read_schema().columns, "event_time").schema
    records = 0
    with pq.ParquetWriter(path / "examples.parquet", schema, compression="zstd") as writer:
        for values in values_of(bootstrap, topic):
            writer.write_table(pa.Table.from_pylist([json.loads(value) for value in values], schema))
            records += len(values)
    return records


def run(name: str, bootstrap: str, topic: str, results: multiprocessing.Queue) -> None:
    with tempfile.TemporaryDirectory() as path:
        started, cpu_started = time.perf_counter(), time.process_time()
        records = MEASURES[name](bootstrap, topic, Path(path))
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    results.put(Result(records / seconds, 1e6 * cpu_seconds / records, peak_mebibytes()))


def peak_mebibytes() -> float:
    """Of this process; `ru_maxrss` would begin with what the parent had."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measured(name: str, bootstrap: str, topic: str) -> Result:
    spawn = multiprocessing.get_context("spawn")
    results = spawn.Queue()
    process = spawn.Process(target=run, args=(name, bootstrap, topic, results))
    process.start()
    result = results.get()
    process.join()
    return result


def compare(bootstrap: str, topic: str, size: int) -> None:
    """Measure each way in turn, several times over, and print the medians."""
    rounds = [{name: measured(name, bootstrap, topic) for name in MEASURES} for _ in range(ROUNDS)]
    for name in MEASURES:
        rate, cpu, mebibytes = (median(column) for column in zip(*(one[name] for one in rounds), strict=True))
        ratio = median(one[name].rate / one["reading alone"].rate for one in rounds)
        print(f"{size:>10} {name:20} {rate:>10.0f} {ratio:>10.2f} {cpu:>14.1f} {mebibytes:>9.0f}")


def main(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as home, running_broker(Path(home)) as broker:
        print(f"{'records':>10} {'':20} {'records/s':>10} {'of reading':>10} {'CPU us/record':>14} peak MiB")
        for size in sizes:
            topic = f"clicks-{size}"
            create_topic(broker.bootstrap, topic, PARTITIONS)
            produce(Day(DAY, records=size, seed=1), broker.bootstrap, topic, PARTITIONS)
            compare(broker.bootstrap, topic, size)


MEASURES: dict[str, Callable[[str, str, Path], int]] = {
    "reading alone": read_alone,
    "landing": land,
    "json.loads a record": loads_each,
}

if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or list(SIZES))
