"""Read the manifest's offset ranges and write the window's examples."""

from __future__ import annotations

import logging
import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from ml.artifact import Window
from ml.config import Pipeline
from ml.connections import KafkaConnection
from ml.landing.block import Block
from ml.landing.expiry import read_ranges
from ml.landing.files import ParquetFiles
from ml.landing.progress import Progress
from ml.landing.ranges import OFFSETS_FILE, OffsetManifest
from ml.landing.selection import REJECTS, Landed, Selection
from ml.landing.tally import Tally
from ml.landing.topic import Topic
from ml.store import Draft

log = logging.getLogger(__name__)

REJECTS_FILE = "rejects.parquet"
MOST_PARSERS = 4
EXAMPLES_GROUP_ROWS = 65_536
EXAMPLES_FILE_GROUPS = 16
REJECTS_GROUP_ROWS = 4_096


def land_examples(
    pipeline: Pipeline, window: Window, offsets: Path, kafka: KafkaConnection, draft: Draft
) -> None:
    """Write the examples of a window, its rejects and its exact counts, whatever these say.

    Reads the manifest's ranges one partition after the other, so rows are ordered by partition and offset.
    Which records are kept is decided for each by itself, and files are cut by numbers of rows. So the same
    ranges give the same bytes, however the network cuts them, and so do other ranges with the same records
    of the window in them. Values are parsed by threads while the next are fetched; a fixed number of
    blocks is under way at a time, so memory does not grow with the day.

    Args:
        pipeline: the settings.
        window: whose records are wanted.
        offsets: the directory of the offset manifest.
        kafka: how to reach the brokers.
        draft: gets ``part-*.parquet``, ``rejects.parquet`` and ``offsets.json``; facts as `Tally`.

    Raises:
        Unavailable: if the brokers do not answer, or fall silent.
        Misconfigured: if the topic is gone, or the brokers refuse us.
        WindowExpired: if the topic has lost some of the manifest's offsets.
    """
    manifest = OffsetManifest.read(offsets)
    selection = Selection.of(
        pipeline.landing, pipeline.read_schema(), window, with_late=bool(manifest.decision.refresh)
    )
    progress = Progress(manifest.record_count)
    with Topic(kafka, manifest.topic) as topic:
        topic.partitions()  # asks once, so that what is out of reach is named now and not after a silence
        tally = _write(
            _landed(selection, read_ranges(topic, manifest, window)), selection, progress, draft.path
        )
    shutil.copyfile(offsets / OFFSETS_FILE, draft.path / OFFSETS_FILE)
    draft.facts.update(tally.as_facts())
    draft.measurements.update(seconds=progress.seconds, records_per_second=progress.rate)
    log.info("%s %s: %s", pipeline.name, window, _sentence(tally, progress))


def _landed(selection: Selection, blocks: Iterable[Block]) -> Iterator[Landed]:
    """Parse blocks in threads and hand them on in their order, with few of them in memory."""
    parsers = min(MOST_PARSERS, os.cpu_count() or 1)
    pending: deque[Future[Landed]] = deque()
    with ThreadPoolExecutor(parsers, "parser") as pool:
        for block in blocks:
            pending.append(pool.submit(selection.land, block))
            if len(pending) > parsers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _write(landed: Iterator[Landed], selection: Selection, progress: Progress, path: Path) -> Tally:
    tally = Tally()
    with _example_files(path, selection.schema) as examples, _reject_file(path) as rejects:
        for block in landed:
            examples.write(block.examples)
            rejects.write(block.rejects)
            tally.add(block.tally)
            progress.advance(block.tally.scanned)
    return tally


def _example_files(path: Path, schema: pa.Schema) -> ParquetFiles:
    return ParquetFiles(
        lambda number: path / f"part-{number:05d}.parquet", schema, EXAMPLES_GROUP_ROWS, EXAMPLES_FILE_GROUPS
    )


def _reject_file(path: Path) -> ParquetFiles:
    return ParquetFiles(lambda _: path / REJECTS_FILE, REJECTS, REJECTS_GROUP_ROWS)


def _sentence(tally: Tally, progress: Progress) -> str:
    facts = tally.as_facts()
    rejected = ", ".join(f"{count} {reason}" for reason, count in sorted(tally.rejected.items())) or "none"
    return (
        f"{tally.accepted} examples out of {tally.scanned} records in {progress.seconds:.1f} s "
        f"({progress.rate:.0f} records/s); rejected: {rejected}; outside the window: {facts['outside']}; "
        f"late: {tally.late}"
    )
