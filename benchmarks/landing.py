"""Landing against reading alone, and against a `json.loads` for every record, in one run.

    [BROKER=kafka] python -m benchmarks.landing [records ...]

Each measurement has a process of its own, so peak memory is its own too. Ratios are to reading alone: the
machine and its neighbours cancel out of them, if not wholly. Ends with 1 if a ratio misses the target.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
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
from ml.landing.ranges import OffsetManifest
from ml.pipelines import load_pipeline
from ml.store import Draft
from tests.demo.clicks import Day
from tests.demo.produce import create_topic, produce
from tests.demo.stack import empty_broker, pipeline_settings, wanted_broker

DAY = date(2026, 3, 10)
PARTITIONS = 4
SIZES = (100_000, 1_000_000, 10_000_000)
TARGET = 0.35
MOST_LOADS = 1_000_000  # minutes beyond it, and the ratio only falls
READING, LANDING, LOADS = "reading alone", "landing", "json.loads a record"
LOOKING = "looking behind a day"
BATCH = 8_192
ROUNDS = 3


class Result(NamedTuple):
    """Of one run in a process of its own."""

    rate: float
    cpu_microseconds: float
    peak_mebibytes: float


def pipeline_of(topic: str) -> Pipeline:
    pipeline = load_pipeline("clicks")
    settings = pipeline.landing.model_copy(update={"topic": topic})
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


def look_behind(bootstrap: str, topic: str, path: Path) -> int:
    """Find the offsets of a day of long ago: all that is in the topic lies behind it."""
    kafka = KafkaConnection(config={"bootstrap.servers": bootstrap})
    offsets = Draft(path / "offsets", "offsets")
    offsets.path.mkdir()
    window = Window.of_day(DAY - timedelta(days=30), "UTC")
    landing.resolve_offsets(pipeline_of(topic), window, Decision(), kafka, offsets)
    return sum(one.high for one in OffsetManifest.read(offsets.path).ranges)


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


def compare(bootstrap: str, topic: str, size: int) -> float:
    """Measure each way in turn, several times over, and print the medians; return landing's ratio."""
    by_time = load_pipeline("clicks").landing.seek == "time"
    wanted = {READING: True, LANDING: True, LOOKING: by_time, LOADS: size <= MOST_LOADS}
    names = [name for name in MEASURES if wanted[name]]
    rounds = [{name: measured(name, bootstrap, topic) for name in names} for _ in range(ROUNDS)]
    ratios = {name: median(one[name].rate / one[READING].rate for one in rounds) for name in names}
    for name in names:
        rate, cpu, mebibytes = (median(column) for column in zip(*(one[name] for one in rounds), strict=True))
        print(f"{size:>10} {name:20} {rate:>10.0f} {ratios[name]:>10.2f} {cpu:>14.1f} {mebibytes:>9.0f}")
    return ratios[LANDING]


def main(sizes: list[int]) -> int:
    name = wanted_broker()
    os.environ.update(pipeline_settings(name))
    with tempfile.TemporaryDirectory() as home, empty_broker(Path(home), name) as broker:
        print(f"{name}, {PARTITIONS} partitions, by {load_pipeline('clicks').landing.seek}")
        print(f"{'records':>10} {'':20} {'records/s':>10} {'of reading':>10} {'CPU us/record':>14} peak MiB")
        ratios = [measure_size(broker.bootstrap, size) for size in sizes]
    print(f"the least of landing's ratios is {min(ratios):.2f}; the target is {TARGET}")
    return 0 if min(ratios) >= TARGET else 1


def measure_size(bootstrap: str, size: int) -> float:
    """Fill a topic, and compare."""
    topic = f"clicks-{size}"
    create_topic(bootstrap, topic, PARTITIONS)
    produce(Day(DAY, records=size, seed=1), bootstrap, topic, PARTITIONS)
    return compare(bootstrap, topic, size)


MEASURES: dict[str, Callable[[str, str, Path], int]] = {
    READING: read_alone,
    LANDING: land,
    LOOKING: look_behind,
    LOADS: loads_each,
}

if __name__ == "__main__":
    sys.exit(main([int(argument) for argument in sys.argv[1:]] or list(SIZES)))
